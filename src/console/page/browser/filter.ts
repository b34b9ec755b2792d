/** This file keeps the words of the filter box, which every view takes for what it lists. */
import { useMemo } from 'preact/hooks';
import { wordsOf } from '../logic/search-words.ts';
import { Store, useStore } from './store.ts';

export const filter = new Store('');

/** The words to filter by; none: everything is shown. */
export function useFilterWords(): readonly string[] {
  const text = useStore(filter);
  return useMemo(() => wordsOf(text), [text]);
}

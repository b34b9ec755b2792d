/** This file asks anew when another configuration is in force. */
import { useEffect } from 'preact/hooks';
import { useAsk } from './api.ts';
import { generation } from './live.ts';
import { useStore } from './store.ts';

/** As useAsk. What was not answered yet is not asked twice. */
export function useAskInForce<Answer>(
  path: string,
  keepsLast = false,
): ReturnType<typeof useAsk<Answer>> {
  const asked = useAsk<Answer>(path, keepsLast);
  const inForce = useStore(generation);
  useEffect(() => {
    if (asked.last !== undefined) asked.again();
  }, [inForce]);
  return asked;
}

/** This file shows verdicts: always a sign, a word and a colour, never the colour alone. */
import { Icon, type IconName } from './icon.tsx';

export type VerdictWord = 'allowed' | 'refused' | 'undecidable';

const SIGNS: Readonly<Record<VerdictWord, readonly [IconName, string]>> = {
  allowed: ['allowed', 'Allowed'],
  refused: ['refused', 'Refused'],
  undecidable: ['perhaps', 'Not decidable'],
};

export function VerdictBadge({ verdict }: { readonly verdict: VerdictWord }) {
  const [icon, word] = SIGNS[verdict];
  return (
    <span class={`badge badge-${verdict}`}>
      <Icon name={icon} />
      {word}
    </span>
  );
}

/** A word in a box, for kinds and states. */
export function Tag({ text, kind = 'plain' }: { readonly text: string; readonly kind?: string }) {
  return <span class={`tag tag-${kind}`}>{text}</span>;
}

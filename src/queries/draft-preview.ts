/** These types are the request `preview`: what other rules of a group would do, and what is wrong with them. */
import type { GroupDraft } from '../config/group-draft.ts';
import type { Problem } from '../source/problem.ts';
import type { Impact } from './reload-result.ts';

export type DraftQuestion = GroupDraft;

export type DraftPreview =
  /** `problems` has at least one error. */
  | { readonly outcome: 'refused'; readonly problems: readonly Problem[] }
  | {
      readonly outcome: 'planned';
      readonly impact: Impact;
      /** What would newly be admitted, a line a rule. */
      readonly admitted: readonly string[];
      readonly problems: readonly Problem[];
    };

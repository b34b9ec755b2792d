/** This file says what is known of a draft. */
import type { DraftAnswer } from '../../../contract.ts';
import type { AskError } from '../../browser/api.ts';

/** What the server says of the draft. `isOld`: the draft has changed since. */
export interface Computed {
  readonly answer?: DraftAnswer;
  readonly error?: AskError;
  readonly isOld: boolean;
  /** Asks once more. */
  readonly again: () => void;
}

/**
 * Reads and changes what a flow entry knows of the server name that its rule requires (engine/tls/tls-names.ts): the
 * marks of states.ts.
 */
import { setStateWordAt, stateWordAt } from './entry.ts';
import {
  NAME_AWAITED,
  NAME_BEGUN,
  NAME_MARKS,
  NAME_REFUSED,
  RESET_BY_OPENER,
  STATE_MASK,
  SYN_PASSED,
  TCP_CLOSED,
} from './states.ts';

/** Marks a connection that a rule has admitted: the name is awaited from here on, or nothing is. */
export function markAdmitted(words: Int32Array, at: number, awaitsName: boolean): void {
  const plain = stateWordAt(words, at) & ~NAME_MARKS;
  setStateWordAt(words, at, awaitsName ? plain | NAME_AWAITED : plain);
}

/** Notes that parts of the ClientHello are kept. */
export function markBegun(words: Int32Array, at: number): void {
  setStateWordAt(words, at, stateWordAt(words, at) | NAME_BEGUN);
}

/** Notes that the ClientHello was good. Until the other side has acknowledged it, it must not be sent otherwise. */
export function markNamed(words: Int32Array, at: number): void {
  setStateWordAt(words, at, stateWordAt(words, at) & ~NAME_AWAITED);
}

/** The state word of a connection that is closed for its name. Its opener has nothing to say any more. */
export function refusedState(word: number): number {
  return (
    (word & ~(STATE_MASK | SYN_PASSED | NAME_MARKS)) | TCP_CLOSED | RESET_BY_OPENER | NAME_REFUSED
  );
}

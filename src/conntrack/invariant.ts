/**
 * Ends the packet loop when its own memory contradicts itself.
 *
 * Typed arrays don't throw: a read beyond the end is undefined, a write there is lost, and a wrong number names
 * another flow's entry. So the loop checks its tables where entries are added, removed or swept, and at the end of
 * each batch. When a check fails, failInvariant throws. Nothing on the packet path catches the error, so the loop's
 * thread ends. The daemon logs the message and exits (daemon/start.ts), its devices close and traffic stops. To go on
 * could let a packet through by the state of another flow.
 */
export class InvariantError extends Error {}

/** @param what what is wrong, as a sentence without a full stop */
export function failInvariant(what: string): never {
  throw new InvariantError(`broken invariant, the packet loop ends: ${what}`);
}

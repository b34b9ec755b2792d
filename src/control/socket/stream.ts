/**
 * A request that goes on answering until the client hangs up: what the daemon's side of one sees.
 *
 * A client that does not read fast enough never makes the daemon remember more: what does not fit its queue is
 * not sent, and the next answer tells how much that was (control-server.ts has the limits).
 */
export interface Sink<Result> {
  /**
   * Sends an answer, or counts it as missed if the client has not read enough of the ones before.
   * @param items what it counts as
   * @returns whether it was sent
   */
  send(result: Result, items: number): boolean;
  /** Counts things that could not even be put into an answer. */
  miss(items: number): void;
}

/** Starts to answer. @returns what ends it  @throws RequestError if the question makes no sense */
export type Follow<Params, Result> = (params: Params, sink: Sink<Result>) => () => void;

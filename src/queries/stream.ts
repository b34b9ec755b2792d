/**
 * A stream is a request that gets answers until the client hangs up. These types are the daemon's side of it.
 *
 * A slow client never makes the daemon use more memory. Answers that do not fit the client's queue are not sent, and
 * the next answer says how much was missed (control-server.ts has the limits).
 */
export interface Sink<Result> {
  /**
   * Sends an answer, or counts it as missed if the client has not read enough of the ones before.
   * @param items how many things it has, for the count of missed ones
   * @returns whether it was sent
   */
  send(result: Result, items: number): boolean;
  /** Counts things that could not even be put into an answer. */
  miss(items: number): void;
}

/** Starts to answer. @returns a function that ends it  @throws RequestError if the question makes no sense */
export type Follow<Params, Result> = (params: Params, sink: Sink<Result>) => () => void;

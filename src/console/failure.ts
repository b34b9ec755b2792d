/** This file has the failures that the console tells its page: a status of HTTP, a sentence, and what to do. */

export class ConsoleFailure extends Error {
  readonly status: number;
  readonly hint: string | undefined;
  /** See Failure of contract.ts. */
  readonly code: string | undefined;

  constructor(status: number, message: string, hint?: string, code?: string) {
    super(message);
    this.status = status;
    this.hint = hint;
    this.code = code;
  }
}

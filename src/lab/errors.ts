/** A lab that can't be made, entered or removed: says what happened, and what to do about it. */
export class LabError extends Error {
  override readonly name = 'LabError';
  readonly hint: string | undefined;

  constructor(message: string, hint?: string) {
    super(message);
    this.hint = hint;
  }
}

/** The person asked for the making of a lab to stop (Ctrl-C); everything was undone. */
export class LabInterrupted extends LabError {
  constructor() {
    super('interrupted: what was made of the lab has been removed');
  }
}

/** The text of whatever was thrown. */
export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}

/** A lab can't be made, entered or removed. The error says what happened and what to do. */
export class LabError extends Error {
  override readonly name = 'LabError';
  readonly hint: string | undefined;

  constructor(message: string, hint?: string) {
    super(message);
    this.hint = hint;
  }
}

/** The user interrupted the making of a lab (Ctrl-C). Everything was undone. */
export class LabInterrupted extends LabError {
  constructor() {
    super('interrupted: what was made of the lab has been removed');
  }
}

/** The message of anything thrown. */
export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}

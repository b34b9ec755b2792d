/** Says something on standard error, as sgctl does: standard output is the command's. */
export function say(text: string): void {
  process.stderr.write(`sgctl: ${text}\n`);
}

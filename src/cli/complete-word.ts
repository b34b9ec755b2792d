/**
 * The hidden subcommand that completion scripts ask for names: apart, since sgctl looks for it before it loads
 * anything.
 */
export const COMPLETE_WORD = '__complete';

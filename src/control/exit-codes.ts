/** What the exit codes of secgroupd mean: its help and docs/exit-codes.md are made from this table. */
export const DAEMON_EXIT_CODES = {
  secgroupd: [
    ['0', 'stopped by a signal'],
    ['1', 'the configuration is wrong, or something failed'],
    ['2', 'wrong arguments'],
  ],
  'secgroupd doctor': [
    ['0', 'it can run (there may be warnings)'],
    ['1', 'it can not'],
    ['2', 'wrong arguments'],
  ],
} as const;

/** The line about exit codes in the help of a command. */
export function daemonExitCodeHelp(path: keyof typeof DAEMON_EXIT_CODES): string {
  const codes = DAEMON_EXIT_CODES[path];
  return `Exit codes: ${codes.map(([code, meaning]) => `${code} ${meaning}`).join('; ')}.`;
}

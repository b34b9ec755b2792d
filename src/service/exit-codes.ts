/** This table explains the exit codes of the programs but sgctl. Help and docs/exit-codes.md are made from it. */
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
  'secgroupd store backup': [
    ['0', 'done'],
    ['1', 'there is no backup'],
    ['2', 'wrong arguments'],
  ],
  'secgroupd store restore': [
    ['0', 'done'],
    ['1', 'refused, or it failed'],
    ['2', 'wrong arguments'],
  ],
  'secgroupd store check': [
    ['0', 'the store is sound'],
    ['1', 'it is not, or can not be read'],
    ['2', 'wrong arguments'],
  ],
  'secgroupd store copy': [
    ['0', 'done'],
    ['1', 'refused, or it failed'],
    ['2', 'wrong arguments'],
  ],
  'secgroup-api': [
    ['0', 'stopped by a signal'],
    ['1', 'it can not listen, or something failed'],
    ['2', 'wrong arguments, or an address that takes a certificate or keys'],
  ],
  'secgroupd-docker': [
    ['0', 'stopped by a signal'],
    ['1', 'it can not start, or something failed'],
    ['2', 'wrong arguments'],
  ],
  'secgroup-metadata': [
    ['0', 'stopped by a signal'],
    ['1', 'it can not start, or something failed'],
    ['2', 'wrong arguments'],
    ['3', 'the port has other addresses now, and the service manager is to start it again'],
  ],
} as const;

/** Formats the line about exit codes in the help of a command. */
export function daemonExitCodeHelp(path: keyof typeof DAEMON_EXIT_CODES): string {
  const codes = DAEMON_EXIT_CODES[path];
  return `Exit codes: ${codes.map(([code, meaning]) => `${code} ${meaning}`).join('; ')}.`;
}

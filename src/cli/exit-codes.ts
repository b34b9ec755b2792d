/**
 * What the exit codes of sgctl and secgroupd mean, in one place: the help of each command and docs/exit-codes.md
 * are made from this table.
 */

/** The code, as people write it, and what it says: without a capital or a full stop. */
export type ExitCode = readonly [code: string, meaning: string];

const DONE: ExitCode = ['0', 'done'];
const ENDED: ExitCode = ['0', 'ended by --count, --duration or q'];
const NO_ANSWER: ExitCode = ['1', 'no answer'];
const WENT_AWAY: ExitCode = ['1', 'no answer, or the daemon went away'];
/** Of what goes on until it is ended. */
const INTERRUPTED: ExitCode = ['130', 'after Ctrl-C; 143 after SIGTERM'];
const WRONG_USAGE: ExitCode = ['2', 'wrong usage'];

/** By command, as it is typed. */
export const EXIT_CODES = {
  'sgctl check': [
    ['0', 'there are no errors (warnings are none, without --strict)'],
    ['1', 'there are'],
    WRONG_USAGE,
  ],
  'sgctl explain': [
    ['0', 'allowed (in each family asked), or the drop is explained'],
    ['1', 'refused, or no answer, or the drop is not kept any more'],
    ['2', 'wrong usage or unknown names'],
    ['3', 'the configuration has errors'],
    ['4', 'not decidable: the file does not say what it depends on'],
  ],
  'sgctl lab up': [
    ['0', 'it is up'],
    ['1', "it can't be made"],
    WRONG_USAGE,
    ['130', 'after Ctrl-C; 128 + N after signal N. What was made is undone'],
  ],
  'sgctl lab exec': [
    ['N', 'that of the program'],
    ['1', 'there is no such namespace'],
    WRONG_USAGE,
    ['126', "the program can't be run"],
    ['127', 'it was not found'],
    ['128 + N', 'signal N ended it'],
  ],
  'sgctl lab env': [DONE, ['1', 'no lab has an API, or several do'], WRONG_USAGE],
  'sgctl lab ls': [DONE, ['1', 'they could not be read'], WRONG_USAGE],
  'sgctl lab down': [
    ['0', 'nothing is left of it'],
    ['1', 'something could not be removed'],
    WRONG_USAGE,
  ],
  'sgctl run': [
    ['N', 'that of the command'],
    WRONG_USAGE,
    ['125', 'there can be no network for it: the command was not run'],
    ['126', "the command can't be run"],
    ['127', 'it was not found'],
    ['128 + N', 'signal N ended it'],
  ],
  'sgctl reload': [
    ['0', 'done, or with --dry-run: it could be'],
    ['1', 'refused, or no answer'],
    WRONG_USAGE,
  ],
  'sgctl status': [['0', 'it answered'], ['1', 'it did not'], WRONG_USAGE],
  'sgctl interfaces': [DONE, NO_ANSWER, WRONG_USAGE],
  'sgctl interface add': [
    ['0', 'the rules hold for it'],
    ['1', 'refused, or no answer'],
    WRONG_USAGE,
  ],
  'sgctl interface rm': [
    ['0', 'it is not there any more'],
    ['1', 'refused, or no answer'],
    WRONG_USAGE,
  ],
  'sgctl interface set-groups': [['0', 'it has them'], ['1', 'refused, or no answer'], WRONG_USAGE],
  'sgctl interface move': [
    ['0', 'it is in force on that host, and the host before has given it up or is fenced'],
    [
      '1',
      'refused, it could not be put in force there, or the host before lives, fences and keeps it',
    ],
    WRONG_USAGE,
    [
      '3',
      'it is in force there, and the host before, which does not fence, has not said that it gave it up',
    ],
  ],
  'sgctl interface ls': [DONE, NO_ANSWER, WRONG_USAGE],
  'sgctl host ls': [DONE, ['1', "the store can't be read"], WRONG_USAGE],
  'sgctl host forget': [DONE, ['1', 'it lives, or there is no such host'], WRONG_USAGE],
  'sgctl rollout': [
    ['0', 'it is in force on every host that it concerns and that lives'],
    ['1', "there is no such revision or group, or the store can't be read"],
    WRONG_USAGE,
    ['3', 'it is not, or was not in time'],
  ],
  'sgctl groups': [DONE, NO_ANSWER, WRONG_USAGE],
  'sgctl names': [DONE, NO_ANSWER, WRONG_USAGE],
  'sgctl rules': [DONE, ['1', 'no answer, or the files have errors'], WRONG_USAGE],
  'sgctl flows': [['0', 'done, also if there are none'], NO_ANSWER, WRONG_USAGE, INTERRUPTED],
  'sgctl flows delete': [
    ['0', 'done, also if there were none'],
    ['1', 'answered with no, or no answer'],
    ['2', 'wrong usage, or nobody to ask (no terminal, and no --yes)'],
    ['130', 'after Ctrl-C at the question'],
  ],
  'sgctl top': [ENDED, WENT_AWAY, WRONG_USAGE, INTERRUPTED],
  'sgctl trace': [ENDED, WENT_AWAY, WRONG_USAGE, INTERRUPTED],
  'sgctl drops': [['0', 'done, also if nothing was dropped'], NO_ANSWER, WRONG_USAGE, INTERRUPTED],
  'sgctl capture': [ENDED, ['1', "no answer, or it can't be written"], WRONG_USAGE, INTERRUPTED],
  'sgctl console': [['1', 'no daemon, no port, or the input has errors'], WRONG_USAGE, INTERRUPTED],
  'sgctl test': [
    ['0', 'all passed, or skipped'],
    ['1', 'something failed, or there could be no lab'],
    ['2', 'wrong usage, or a --filter that leaves nothing to test'],
    ['3', 'the expectations or the configuration have errors'],
    ['4', 'the compiled rules and the reference disagree (an error of sgctl: report it)'],
    ['128 + N', 'signal N ended it; what was made of the lab has been removed'],
  ],
  'sgctl diff': [
    ['0', 'both allow the same'],
    ['1', 'something is newly allowed, for certain or perhaps, or newly passes by audit'],
    WRONG_USAGE,
    ['3', 'an input has errors, or the two are too large to compare'],
    ['4', 'nothing newly passes, and something no longer'],
  ],
  'sgctl replay': [
    [
      '0',
      'groups, network ACLs and routes refuse nothing of it; with --against, both decide the same',
    ],
    ['1', 'they refuse something, for certain or perhaps; or both do not decide the same'],
    WRONG_USAGE,
    [
      '3',
      'a configuration has errors, or not all could be read, or nothing of it is to or from an interface, and what was judged is fine',
    ],
  ],
  'sgctl learn': [
    ['0', 'groups are proposed; with --tighten, what was used is told'],
    ['1', 'nothing was seen that rules could be proposed for, or no answer'],
    WRONG_USAGE,
    [
      '3',
      'an input has errors, or not all could be read; what was seen is proposed. With --tighten, also if nothing was seen',
    ],
    ['130', 'after Ctrl-C; 143 after SIGTERM. What was seen until then is proposed'],
  ],
  'sgctl export': [DONE, ['1', 'the input has errors'], WRONG_USAGE],
  'sgctl import aws': [DONE, WRONG_USAGE],
  'sgctl doctor': [
    ['0', 'the service can run (there may be warnings)'],
    ['1', 'it can not'],
    WRONG_USAGE,
  ],
  'sgctl doors': [
    ['0', 'all that run are guarded, or none runs'],
    ['1', 'it could not be looked at'],
    WRONG_USAGE,
    ['3', 'something is not guarded'],
    ['4', 'nothing is known to be unguarded, but not all could be looked at'],
  ],
  'sgctl api up': [['0', 'it answers'], ['1', "it can't be started"], WRONG_USAGE],
  'sgctl api down': [['0', 'nothing is left of it'], ['1', "it can't be ended"], WRONG_USAGE],
  'sgctl api status': [['0', 'it runs'], ['1', 'it does not'], WRONG_USAGE],
  'sgctl api key create': [DONE, ['1', "the file with the keys can't be used"], WRONG_USAGE],
  'sgctl api key list': [DONE, ['1', "the file with the keys can't be used"], WRONG_USAGE],
  'sgctl api key delete': [
    DONE,
    ['1', "there is no such key, or the file with the keys can't be used"],
    WRONG_USAGE,
  ],
  'sgctl completion': [DONE, ['1', 'it failed'], WRONG_USAGE],
} as const satisfies Readonly<Record<string, readonly ExitCode[]>>;

export type CommandPath = keyof typeof EXIT_CODES;

const WIDTH = 80;
const NO_BREAK = '\u00a0';

/** The paragraph about exit codes in the help of a command, wrapped; ends without a line break. */
export function exitCodeHelp(path: CommandPath): string {
  const codes: readonly ExitCode[] = EXIT_CODES[path];
  // A code and its first word stay together.
  const told = codes.map(([code, meaning]) => `${code}${NO_BREAK}${meaning}`).join('; ');
  const words = `Exit code: ${told}.`.split(' ');
  const lines = [''];
  for (const word of words) {
    const line = lines[lines.length - 1];
    if (line === '') lines[lines.length - 1] = word;
    else if (line.length + 1 + word.length <= WIDTH) lines[lines.length - 1] = `${line} ${word}`;
    else lines.push(word);
  }
  return lines.join('\n').replaceAll(NO_BREAK, ' ');
}

/** The completion script of fish. */
import { COMPLETE_WORD } from './complete-word.ts';
import { listCommands, type CommandNode, type ValueKind } from './completion-tree.ts';

/** A function walks the words before the cursor to the subcommand they are in; each line below asks it. */
export function fishCompletion(program: CommandNode): string {
  const name = program.name;
  const commands = listCommands(program);
  return `# Completion of ${name} for fish, made by \`${name} completion fish\`.
function __${name}_at
    set -l at ${name}
    set -l value ''
    for word in (commandline -opc)[2..]
        if test -n "$value"
            set value ''
            continue
        end
        switch "$at $word"
${commands.slice(1).map(descend).join('')}${commands.flatMap(swallow).join('')}        end
    end
    test "$at" = "$argv[1]"
end
# fish quotes what it inserts.
function __${name}_live
    set -l words (commandline -opc)
    command ${name} ${COMPLETE_WORD} $argv[1] -- $words[2..] (commandline -ct) 2>/dev/null
end
complete -c ${name} -f
${commands.flatMap((command) => lines(name, command)).join('\n')}
`;
}

function descend({ path }: CommandNode): string {
  return `            case ${quote(`${path.slice(0, -1).join('/')} ${path.at(-1)}`)}
                set at ${path.join('/')}
`;
}

function swallow({ path, options }: CommandNode): string[] {
  const names = options
    .filter(({ value }) => value !== undefined)
    .flatMap((option) => option.names);
  if (names.length === 0) return [];
  const patterns = names.map((name) => quote(`${path.join('/')} ${name}`)).join(' ');
  return [`            case ${patterns}\n                set value expected\n`];
}

function lines(program: string, command: CommandNode): string[] {
  const at = `complete -c ${program} -n ${quote(`__${program}_at ${command.path.join('/')}`)}`;
  return [
    ...command.commands.map(({ name, summary }) => `${at} -a ${name} -d ${quote(summary)}`),
    ...command.options.map(({ names, description, value }) => {
      const flags = names.map((flag) =>
        flag.startsWith('--') ? `-l ${flag.slice(2)}` : `-s ${flag.slice(1)}`,
      );
      return `${at} ${flags.join(' ')}${value === undefined ? '' : ` -r ${offer(program, value)}`} -d ${quote(description)}`;
    }),
    ...command.arguments
      .filter(({ value }) => value.kind !== 'text')
      .map(({ value }) => `${at} ${offer(program, value)}`),
  ];
}

function offer(program: string, value: ValueKind): string {
  switch (value.kind) {
    case 'text':
      return '-f';
    case 'file':
      return '-F';
    case 'directory':
      return "-f -a '(__fish_complete_directories)'";
    case 'live':
      return `-f -a '(__${program}_live ${value.live})'`;
    case 'words':
      return `-f -a ${quote(value.words.join(' '))}`;
    default:
      return value satisfies never;
  }
}

function quote(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}

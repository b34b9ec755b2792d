/** The completion script of zsh, for its own system (compinit). */
import { COMPLETE_WORD } from './complete-word.ts';
import {
  listCommands,
  type CommandNode,
  type OptionNode,
  type ValueKind,
} from './completion-tree.ts';

/** A function for each command. One with subcommands hands the rest of the line to theirs. */
export function zshCompletion(program: CommandNode): string {
  const functions = listCommands(program).map((command) =>
    command.commands.length === 0 ? leaf(command) : branch(command),
  );
  return `#compdef ${program.name}
# Completion of ${program.name} for zsh, made by \`${program.name} completion zsh\`.

# compadd quotes what is inserted.
_${program.name}_live() {
    local -a names=("\${(@f)$(command ${program.name} ${COMPLETE_WORD} $1 -- "\${(Q)words[@]:1:$((CURRENT - 2))}" "$PREFIX" 2>/dev/null)}")
    compadd -- "\${(@)names:#}"
}
${functions.join('')}
if [[ $funcstack[1] == _${program.name} ]]; then
    _${program.name} "$@"
else
    compdef _${program.name} ${program.name}
fi
`;
}

function leaf(command: CommandNode): string {
  const specs = [
    ...command.options.map(optionSpec),
    ...command.arguments.map(({ name, value, isRepeated }, i) =>
      quote(`${isRepeated ? '*' : i + 1}:${escape(name)}:${action(value)}`),
    ),
  ];
  return `
${functionName(command)}() {
    _arguments -s ${specs.join(' \\\n        ')}
}
`;
}

function branch(command: CommandNode): string {
  const names = command.commands.map(({ name, summary }) =>
    quote(`${name}:${summary.replaceAll(':', '\\:')}`),
  );
  const calls = command.commands.map(
    (child) => `                ${child.name}) ${functionName(child)} ;;\n`,
  );
  return `
${functionName(command)}() {
    local curcontext=$curcontext state line
    local -a commands=(
        ${names.join('\n        ')}
    )
    _arguments -C ${[...command.options.map(optionSpec), "'1: :->command'", "'*:: :->rest'"].join(' \\\n        ')}
    case $state in
        command) _describe command commands ;;
        rest)
            curcontext=\${curcontext%:*}-$line[1]:
            case $line[1] in
${calls.join('')}            esac
            ;;
    esac
}
`;
}

function optionSpec({ names, description, value }: OptionNode): string {
  const alternatives = names.length > 1 ? `'(${names.join(' ')})'{${names.join(',')}}` : names[0];
  const taken = value === undefined ? '' : `:value:${action(value)}`;
  return `${alternatives}${quote(`[${escape(description)}]${taken}`)}`;
}

function action(value: ValueKind): string {
  switch (value.kind) {
    case 'text':
      return ' ';
    case 'file':
      return '_files';
    case 'directory':
      return '_files -/';
    case 'live':
      // The blank keeps what _arguments would put in front of the kind.
      return ` _sgctl_live ${value.live}`;
    case 'words':
      return `(${value.words.join(' ')})`;
    default:
      return value satisfies never;
  }
}

function functionName({ path }: CommandNode): string {
  return `_${path.join('_').replaceAll('-', '_')}`;
}

function escape(text: string): string {
  return text.replace(/[\\[\]:]/g, '\\$&');
}

function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** The completion script of bash: no library needed, not even the package bash-completion. */
import {
  listCommands,
  type ArgumentNode,
  type CommandNode,
  type ValueKind,
} from './completion-tree.ts';

/**
 * The script finds out where it is by walking the words before the cursor: a subcommand's name goes one
 * level down, an option that takes a value swallows the next word, all else is an argument.
 */
export function bashCompletion(program: CommandNode): string {
  const commands = listCommands(program);
  const name = `_${program.name}`;
  return `# Completion of ${program.name} for bash, made by \`${program.name} completion bash\`.
${name}() {
    local current=\${COMP_WORDS[COMP_CWORD]} at=${program.name} value= word i
    local -i arguments=0
    for ((i = 1; i < COMP_CWORD; i++)); do
        word=\${COMP_WORDS[i]}
        if [[ -n $value ]]; then
            value=
            continue
        fi
        case "$at $word" in
${commands.slice(1).map(descend).join('')}${commands.flatMap(swallow).join('')}            *' -'*) ;;
            *) arguments+=1 ;;
        esac
    done
    COMPREPLY=()
    if [[ -z $value ]]; then
        local words=
        case $at in
${commands.map(offer).join('')}        esac
        if [[ $current == -* || -n $words && -z $value ]]; then
            mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
            return
        fi
    fi
    case $value in
        file) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$current") ;;
        directory) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d -- "$current") ;;
        'words '*) mapfile -t COMPREPLY < <(compgen -W "\${value#words }" -- "$current") ;;
    esac
}
complete -F ${name} ${program.name}
`;
}

function descend({ path }: CommandNode): string {
  const above = path.slice(0, -1).join('/');
  return `            '${above} ${path.at(-1)}') at=${path.join('/')} arguments=0 ;;\n`;
}

function swallow({ path, options }: CommandNode): string[] {
  return options
    .filter(({ value }) => value !== undefined)
    .map(({ names, value }) => {
      const patterns = names.map((name) => `'${path.join('/')} ${name}'`).join(' | ');
      return `            ${patterns}) value=${valueWord(value!)} ;;\n`;
    });
}

/** Sets \`words\` to what can be named here, or \`value\` to what kind of argument is next. */
function offer({ path, options, commands, arguments: places }: CommandNode): string {
  const flags = options.flatMap(({ names }) => names).join(' ');
  const names = commands.map((command) => command.name).join(' ');
  const place = argumentCases(places);
  return `            ${path.join('/')})
                if [[ $current == -* ]]; then words='${flags}'; ${names === '' ? '' : `elif ((arguments == 0)); then words='${names}'; `}${place === '' ? '' : `else ${place}`}fi ;;
`;
}

function argumentCases(places: readonly ArgumentNode[]): string {
  const cases = places.map(({ value, isRepeated }, i) => {
    return `${isRepeated ? '*' : i}) value=${valueWord(value)} ;; `;
  });
  return cases.length === 0 ? '' : `case $arguments in ${cases.join('')}esac; `;
}

function valueWord(value: ValueKind): string {
  return value.kind === 'words' ? `'words ${value.words.join(' ')}'` : value.kind;
}

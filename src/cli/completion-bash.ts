/** The completion script of bash: no library needed, not even the package bash-completion. */
import { COMPLETE_WORD } from './complete-word.ts';
import {
  listCommands,
  type ArgumentNode,
  type CommandNode,
  type ValueKind,
} from './completion-tree.ts';

/**
 * The script finds out where it is by walking the words before the cursor: a subcommand's name goes one
 * level down, an option that takes a value swallows the next word, all else is an argument.
 *
 * Names that `sgctl __complete` prints are anybody's text. `compgen -W` would run what is written in them, so they
 * are compared and quoted one by one; a word that begins with a quotation mark gets none.
 */
export function bashCompletion(program: CommandNode): string {
  const commands = listCommands(program);
  const name = `_${program.name}`;
  return `# Completion of ${program.name} for bash, made by \`${program.name} completion bash\`.
${name}_live() {
    local name quoted typed=\${current//\\\\/}
    local before=\${current%"\${current##*:}"}
    [[ $current == [\\"\\']* ]] && return
    while IFS= read -r name; do
        [[ $name == "$typed"* ]] || continue
        printf -v quoted %q "$name"
        COMPREPLY+=("\${quoted#"$before"}")
    done < <(${program.name} ${COMPLETE_WORD} "$1" -- "\${words[@]:1}" 2>/dev/null)
}
${name}() {
    local current at=${program.name} value= word i
    local -i arguments=0
    # bash takes words apart at colons, and we don't.
    local -a words=()
    for ((i = 0; i <= COMP_CWORD; i++)); do
        word=\${COMP_WORDS[i]}
        if ((i > 1)) && [[ $word == :* || \${COMP_WORDS[i - 1]} == *: ]]; then
            words[\${#words[@]} - 1]+=$word
        else
            words+=("$word")
        fi
    done
    current=\${words[\${#words[@]} - 1]}
    for ((i = 1; i < \${#words[@]} - 1; i++)); do
        word=\${words[i]}
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
        local offered=
        case $at in
${commands.map(offer).join('')}        esac
        if [[ $current == -* || -n $offered && -z $value ]]; then
            mapfile -t COMPREPLY < <(compgen -W "$offered" -- "$current")
            return
        fi
    fi
    case $value in
        file) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$current") ;;
        directory) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d -- "$current") ;;
        'live '*) ${name}_live "\${value#live }" ;;
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

/** Sets \`offered\` to what can be named here, or \`value\` to what kind of argument is next. */
function offer({ path, options, commands, arguments: places }: CommandNode): string {
  const flags = options.flatMap(({ names }) => names).join(' ');
  const names = commands.map((command) => command.name).join(' ');
  const place = argumentCases(places);
  return `            ${path.join('/')})
                if [[ $current == -* ]]; then offered='${flags}'; ${names === '' ? '' : `elif ((arguments == 0)); then offered='${names}'; `}${place === '' ? '' : `else ${place}`}fi ;;
`;
}

function argumentCases(places: readonly ArgumentNode[]): string {
  const cases = places.map(({ value, isRepeated }, i) => {
    return `${isRepeated ? '*' : i}) value=${valueWord(value)} ;; `;
  });
  return cases.length === 0 ? '' : `case $arguments in ${cases.join('')}esac; `;
}

function valueWord(value: ValueKind): string {
  if (value.kind === 'live') return `'live ${value.live}'`;
  return value.kind === 'words' ? `'words ${value.words.join(' ')}'` : value.kind;
}

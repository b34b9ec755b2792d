/**
 * What a command line made with commander takes, as plain data: what shell completions and the manual pages
 * are made from, so that neither can forget an option.
 */
import type { Argument, Command, Option } from 'commander';

/** What stands in the place of a value. `text`: anything, nothing to complete. */
export type ValueKind =
  | { readonly kind: 'text' }
  | { readonly kind: 'file' }
  | { readonly kind: 'directory' }
  | { readonly kind: 'words'; readonly words: readonly string[] }
  /** Names that are there when somebody types: complete.ts finds them. */
  | { readonly kind: 'live'; readonly live: LiveKind };

/**
 * What names are of. `end`: whatever `explain` takes for an end; `host`: hosts of the store; `owned`: what
 * `interface add` made; `id`: interfaces by their ids.
 */
export type LiveKind =
  'interface' | 'id' | 'group' | 'rule' | 'owned' | 'host' | 'lab' | 'namespace' | 'end';

/** By the option, or by the command and its argument. */
const LIVE_KINDS: Readonly<Record<string, LiveKind | undefined>> = {
  '--interface': 'interface',
  '--group': 'group',
  '--rule': 'rule',
  '--lab': 'lab',
  '--from': 'end',
  '--to': 'end',
  'down name': 'lab',
  'env name': 'lab',
  'exec namespace': 'namespace',
  'forget host': 'host',
  'move host': 'host',
  'move id': 'id',
  'rollout revision|group': 'group',
  'rm id': 'owned',
  'set-groups id': 'owned',
  'set-groups group': 'group',
};

export interface OptionNode {
  /** As typed: `-c`, `--config`. */
  readonly names: readonly string[];
  /** As in help: `-c, --config <file>`. */
  readonly flags: string;
  readonly description: string;
  /** Undefined: it takes no value. */
  readonly value: ValueKind | undefined;
}

export interface ArgumentNode {
  readonly name: string;
  readonly description: string;
  readonly value: ValueKind;
  readonly isRequired: boolean;
  /** As many as are given. */
  readonly isRepeated: boolean;
}

export interface CommandNode {
  readonly name: string;
  /** From the program down, this command last: `['sgctl', 'lab', 'up']`. */
  readonly path: readonly string[];
  /** One line. */
  readonly summary: string;
  readonly description: string;
  readonly options: readonly OptionNode[];
  readonly arguments: readonly ArgumentNode[];
  readonly commands: readonly CommandNode[];
}

/** A program and all its subcommands, without what is hidden from its help. */
export function describeCommand(command: Command, above: readonly string[] = []): CommandNode {
  const help = command.createHelp();
  const path = [...above, command.name()];
  const summary = help.subcommandDescription(command);
  return {
    name: command.name(),
    path,
    summary,
    description: command.description(),
    options: help.visibleOptions(command).map(describeOption),
    arguments: command.registeredArguments.map((one) => describeArgument(one, command.name())),
    commands: help.visibleCommands(command).map((child) => describeCommand(child, path)),
  };
}

/** A command and all below it, itself first. */
export function listCommands(node: CommandNode): CommandNode[] {
  return [node, ...node.commands.flatMap(listCommands)];
}

function describeOption(option: Option): OptionNode {
  const names = [option.short, option.long].filter((name) => name !== undefined);
  const takesValue = option.required || option.optional;
  const place = /[<[]([^>\]]+)/.exec(option.flags)?.[1] ?? '';
  const fallback =
    option.defaultValue === undefined || option.defaultValue === false
      ? ''
      : ` (default: ${JSON.stringify(option.defaultValue)})`;
  return {
    names,
    flags: option.flags,
    description: `${option.description}${fallback}`,
    value: takesValue ? valueKind(place, option.argChoices, option.long ?? '') : undefined,
  };
}

function describeArgument(argument: Argument, command: string): ArgumentNode {
  return {
    name: argument.name(),
    description: argument.description,
    value: valueKind(argument.name(), argument.argChoices, `${command} ${argument.name()}`),
    isRequired: argument.required,
    isRepeated: argument.variadic,
  };
}

/** By the name of the placeholder: help says `<file>` where it means one. */
function valueKind(place: string, choices: readonly string[] | undefined, what: string): ValueKind {
  if (choices !== undefined) return { kind: 'words', words: choices };
  const live = LIVE_KINDS[what];
  if (live !== undefined) return { kind: 'live', live };
  const name = place.replace(/\.\.\.$/, '');
  if (name === 'file' || name === 'path' || name === 'socket') return { kind: 'file' };
  if (name === 'directory') return { kind: 'directory' };
  return { kind: 'text' };
}

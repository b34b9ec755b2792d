/**
 * `sgctl __complete KIND -- WORDS`: names for the completion scripts, one a line. WORDS are those typed so far, the
 * last one being completed. Not in the help, since no person types it.
 *
 * Names come from whom the line names: a configuration file, a lab, a socket; else from the daemon that the command
 * would ask. Whoever waits for a Tab gets no message and no error: what does not answer in time has no names. Names are
 * strangers' text: one with a control character in it is left out, and escaping the rest is the script's part, as each
 * shell has it.
 */
import { statSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { ask } from '../control-socket/control-client.ts';
import { listStoredLabs } from '../lab/state.ts';
import { groupLabel } from '../policy/vpcs.ts';
import type { LiveKind } from './completion-tree.ts';
import { findSocket } from './socket.ts';

/** How long a daemon may take; on a machine where that is too short the environment says more. */
const DAEMON_LIMIT_MS = Number(process.env['SGCTL_COMPLETE_MS'] ?? 300);
/** And everything, with a configuration to read, a daemon that sends byte by byte, and whatever else. */
const LIMIT_MS = 5 * DAEMON_LIMIT_MS;
const CONTROL_CHARACTERS = /\p{Cc}/u;
const CONFIG_NAME = /\.ya?ml$|\.json$/i;

/** Interfaces and groups of whom the line is about. */
interface Names {
  readonly interfaces: readonly string[];
  readonly groups: readonly string[];
}

/** @param args what follows the word `__complete` */
export async function complete(args: readonly string[]): Promise<void> {
  const [kind, , ...words] = args;
  // Whatever happens, nobody waits for longer.
  setTimeout(() => process.exit(0), LIMIT_MS).unref();
  try {
    const typed = (words.at(-1) ?? '').replaceAll('\\', '');
    const before = typed.slice(0, typed.lastIndexOf(',') + 1);
    const names = await namesOf(kind as LiveKind, words.slice(0, -1).map(expandHome));
    const lines = [...new Set(names)].filter(
      (name) => name !== '' && !CONTROL_CHARACTERS.test(name),
    );
    process.stdout.write(lines.map((name) => `${before}${name}\n`).join(''));
  } catch {
    // No names.
  }
}

async function namesOf(kind: LiveKind, words: readonly string[]): Promise<readonly string[]> {
  switch (kind) {
    case 'lab':
      return listStoredLabs().map(({ name }) => name);
    case 'namespace':
      return listStoredLabs().flatMap(
        ({ state }) => state?.namespaces.map(({ name }) => name) ?? [],
      );
    case 'interface':
      return (await findNames(words, ['interfaces'])).interfaces;
    case 'id': {
      const found = await ask(socketOf(words), 'interfaces', {}, DAEMON_LIMIT_MS);
      return found.flatMap(({ id }) => id ?? []);
    }
    case 'group':
      return (await findNames(words, ['groups'])).groups;
    case 'end': {
      const { interfaces, groups } = await findNames(words, ['interfaces', 'groups']);
      const labels = groups.map((name) => (interfaces.includes(name) ? `sg:${name}` : name));
      return [...interfaces.filter((name) => name !== 'uplink'), ...labels, 'internet'];
    }
    case 'owned':
      return (await ask(socketOf(words), 'listInterfaces', {}, DAEMON_LIMIT_MS)).map(
        ({ id }) => id,
      );
    case 'host':
      return hostNames(words);
    case 'rule':
      return (await ask(socketOf(words), 'rules', {}, DAEMON_LIMIT_MS)).rules.map(({ id }) => id);
    default:
      kind satisfies never;
      return [];
  }
}

async function findNames(
  words: readonly string[],
  wanted: readonly (keyof Names)[],
): Promise<Names> {
  const file = words.find((word) => CONFIG_NAME.test(word) && isFile(word));
  if (file !== undefined) return namesIn(file);
  const socket = socketOf(words);
  const namesFor = async (what: keyof Names): Promise<readonly string[]> =>
    wanted.includes(what)
      ? (await ask(socket, what, {}, DAEMON_LIMIT_MS)).map(({ name }) => name)
      : [];
  const [interfaces, groups] = await Promise.all([namesFor('interfaces'), namesFor('groups')]);
  return { interfaces, groups };
}

async function namesIn(file: string): Promise<Names> {
  const { loadConfigApart } = await import('../config/load-apart.ts');
  const { config } = await loadConfigApart(file, { netnsDirectory: '/run/netns' });
  if (config === undefined) return { interfaces: [], groups: [] };
  const { interfaces, groups } = config.model;
  return {
    interfaces: [...interfaces.values()].map(({ name }) => name),
    groups: [...groups.values()].map(groupLabel),
  };
}

function socketOf(words: readonly string[]): string {
  const socket = optionIn(words, '--socket');
  const lab = optionIn(words, '--lab');
  return findSocket({
    ...(socket === undefined ? {} : { socket }),
    ...(lab === undefined ? {} : { lab }),
  });
}

async function hostNames(words: readonly string[]): Promise<readonly string[]> {
  const named = optionIn(words, '--store');
  const place = named ?? (await ask(socketOf(words), 'status', {}, DAEMON_LIMIT_MS)).store?.file;
  if (place === undefined) return [];
  const { withEstate } = await import('../hosts/open-estate.ts');
  const { listHosts } = await import('../hosts/list-hosts.ts');
  return withEstate(place, ({ estate }) => listHosts(estate).map(({ host }) => host));
}

/** The value of an option among the words, `--lab x` or `--lab=x`. */
function optionIn(words: readonly string[], option: string): string | undefined {
  const at = words.lastIndexOf(option);
  if (at >= 0) return words[at + 1];
  return words.find((word) => word.startsWith(`${option}=`))?.slice(option.length + 1);
}

function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() === true;
}

/** Shells hand words over as they were typed. */
function expandHome(word: string): string {
  return word.startsWith('~/') ? join(homedir(), word.slice(2)) : word;
}

/** `sgctl run --group NAME -- CMD`: a command, without root, that reaches only what its groups admit. */
import { existsSync, readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { LabError } from '../lab/errors.ts';
import { exitCodeOf } from '../lab/exit-code.ts';
import { EXIT_NO_NETWORK, type RunMessage, type RunStart } from '../run/messages.ts';
import { missingForRun } from '../run/needs.ts';
import { startInside } from '../run/start.ts';
import { CONFIG_DEFAULT } from '../service/arguments.ts';
import { exitCodeHelp } from './exit-codes.ts';
import { printError } from './output.ts';
import { passSignals } from './pass-signals.ts';

interface Options {
  readonly config?: string;
  readonly group: readonly string[];
  readonly address: readonly string[];
  readonly quiet?: true;
}

const RESOLV_CONF = '/etc/resolv.conf';

export function addRunCommand(program: Command): void {
  const collect = (text: string, before: readonly string[]): readonly string[] => [...before, text];
  program
    .command('run')
    .summary('run a command that reaches only what its groups admit')
    .description(
      'Runs a command, without root, in a network of its own that lets through only what the egress rules of its groups admit. Nothing can connect to it. It has your files, this terminal and your environment, and ends with everything that it started. At the end it is told on stderr what was dropped.',
    )
    .argument('<command...>', 'the command and its arguments, after --')
    .option(
      '-c, --config <file>',
      `the file with the groups (default: ${CONFIG_DEFAULT}, if it is there)`,
    )
    .option(
      '-g, --group <name>',
      'a group of that file; may be given more than once',
      collect,
      [] as readonly string[],
    )
    .option(
      '--address <address>',
      'an address of the command; may be given for both families',
      collect,
      [] as readonly string[],
    )
    .option('-q, --quiet', 'do not tell at the end what was dropped')
    .passThroughOptions()
    .usage('[options] --group <name> -- <command> [args...]')
    .addHelpText(
      'after',
      `
Of the file only the groups count, and what belongs to them: templates, prefix
lists, VPCs. Names are resolved by the host's resolver, which no group filters, as
in AWS; \`platformServices: []\` in the file turns that off. The command can't reach
the loopback of the host, nor what is in /run. docs/howto/rootless.md has more.

${exitCodeHelp('sgctl run')}

Examples:
  sgctl run --config groups.yaml --group build -- make
  sgctl run -c groups.yaml -g agent -g registry -- npm ci`,
    )
    .action(async (argv: string[], options: Options, command: Command) => {
      // Passing options through passes the separator through as well.
      const wanted = argv[0] === '--' ? argv.slice(1) : argv;
      if (wanted.length === 0) command.error("error: missing required argument 'command'");
      if (options.group.length === 0)
        command.error(
          'error: --group is missing: a command reaches only what its groups admit, so give at least one',
        );
      process.exitCode = await runCommand(wanted, options);
    });
}

async function runCommand(argv: readonly string[], options: Options): Promise<number> {
  try {
    checkMachine();
    const start = await prepare(argv, options);
    return start === undefined ? EXIT_NO_NETWORK : await runInside(start);
  } catch (thrown) {
    printError(thrown);
    return EXIT_NO_NETWORK;
  }
}

function checkMachine(): void {
  const [first, ...more] = missingForRun(false);
  if (first === undefined) return;
  const all = [first, ...more];
  throw new LabError(
    `this machine lacks what \`sgctl run\` needs: ${all.map(({ found }) => found).join('; ')}`,
    `as root: ${all.map(({ mend }) => mend).join('; ')}`,
  );
}

/** @returns undefined if the file has errors, which are printed. Throws LabError. */
async function prepare(argv: readonly string[], options: Options): Promise<RunStart | undefined> {
  const { loadOwnOrPrint } = await import('./check.ts');
  const { familiesHere, planRun } = await import('../run/plan.ts');
  const file = options.config ?? defaultFile();
  if ((await loadOwnOrPrint(file)) === undefined) return undefined;
  const families = familiesHere();
  if (!families.has4 && !families.has6)
    throw new LabError(
      'this host has no default route, so there is no way out for the command',
      'see: ip route show default',
    );
  const hostResolvConf = existsSync(RESOLV_CONF) ? readFileSync(RESOLV_CONF, 'utf8') : '';
  const { group: groups, address: addresses } = options;
  const planned = planRun({ file, groups, addresses, families, hostResolvConf });
  if ('problems' in planned) {
    const [{ message, hint }] = planned.problems as [(typeof planned.problems)[number]];
    throw new LabError(`${file}: ${message}`, hint);
  }
  return {
    ...{ plan: planned.plan, argv, env: process.env, cwd: process.cwd() },
    uid: process.getuid!(),
    gid: process.getgid!(),
    tellsDrops: options.quiet !== true,
  };
}

function defaultFile(): string {
  if (existsSync(CONFIG_DEFAULT)) return CONFIG_DEFAULT;
  throw new LabError(
    `which groups there are is said nowhere: ${CONFIG_DEFAULT} is not there`,
    'give a file with securityGroups: --config FILE',
  );
}

function runInside(start: RunStart): Promise<number> {
  return new Promise((resolve, reject) => {
    const tell = (message: RunMessage): void => {
      // It may have ended, and then its exit code is on the way.
      if (child.connected) child.send(message, () => undefined);
    };
    const stopPassing = passSignals((signal) => tell({ kind: 'signal', signal }));
    const child = startInside();
    tell({ kind: 'start', start });
    child.on('error', ({ message }) => reject(new LabError(`cannot run setpriv: ${message}`)));
    child.on('exit', (code, signal) => {
      stopPassing();
      resolve(exitCodeOf(code, signal));
    });
  });
}

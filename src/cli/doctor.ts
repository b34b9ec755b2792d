/** `sgctl doctor`: `secgroupd doctor`, where people look for it. */
import type { Command } from 'commander';
import type { DoctorArguments } from '../service/arguments.ts';
import { exitCodeHelp } from './exit-codes.ts';

export function addDoctorCommand(program: Command): void {
  program
    .command('doctor')
    .summary('whether this machine has what the service needs')
    .description(
      'Looks whether this machine has what the daemon needs, and says what is missing, what follows from it and how to mend it. Where the service is installed it is judged with its user, capabilities and limits, whoever asks.',
    )
    .option(
      '-c, --config <file>',
      'configuration (default: /etc/secgroupd/secgroupd.yaml, if it is there)',
    )
    .option('--netns-dir <directory>', 'where named network namespaces are', '/run/netns')
    .option('--state-dir <directory>', 'where connections are kept over a restart')
    .option('--json', 'print the checks as JSON', false)
    .addHelpText(
      'after',
      `
${exitCodeHelp('sgctl doctor')}

Examples:
  sgctl doctor
  sgctl doctor --config secgroupd.yaml --json | jq '.checks[] | select(.status != "ok")'`,
    )
    .action(async (options: DoctorArguments) => {
      // Loaded when asked for: it brings the native addon.
      const { runDoctor } = await import('../doctor/doctor.ts');
      process.exitCode = await runDoctor(options);
    });
}

/** `sgctl import aws --print-commands`: how to get what an account has into a folder that every command takes. */
import type { Command } from 'commander';
import { exitCodeHelp } from './exit-codes.ts';

interface ImportOptions {
  readonly printCommands?: true;
  readonly folder: string;
  readonly region?: string;
  readonly profile?: string;
  readonly vpc?: string;
}

export function addImportCommands(program: Command): void {
  const group = program
    .command('import')
    .summary('how to get what an account has')
    .description('Tells how to get what an account has. It asks AWS nothing itself.');
  group
    .command('aws')
    .summary("the commands that write an account's groups into a folder")
    .description(
      'Prints a script of aws CLI commands that write what a Region has of groups, rules, prefix lists, interfaces and networks into a folder. They only read. The folder is an input for check, explain, test, rules, diff, export and lab up.',
    )
    .requiredOption('--print-commands', 'print the commands: they are for you to run')
    .option('--folder <dir>', 'where they write', 'account')
    .option('--region <region>', "the Region; else the CLI's own")
    .option('--profile <name>', "the CLI's profile")
    .option('--vpc <id>', 'only what is in this VPC')
    .addHelpText(
      'after',
      `
${exitCodeHelp('sgctl import aws')}

Examples:
  sgctl import aws --print-commands | sh
  sgctl check account
  sgctl explain account 'sg:web -> sg:db tcp 5432'`,
    )
    .action(async ({ folder, region, profile, vpc }: ImportOptions) => {
      const { printCommands } = await import('../inputs/account/commands.ts');
      console.log(printCommands({ folder, region, profile, vpc }));
    });
}

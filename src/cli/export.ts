/** `sgctl export FILE --to FORM`: the groups of any input, written as something else. */
import { Option, type Command } from 'commander';
import { printable } from '../source/excerpt.ts';
import type { Config } from '../config/config.ts';
import { addAddressOption } from './address-option.ts';
import { loadOrPrint } from './check.ts';
import { exitCodeHelp } from './exit-codes.ts';
import { INPUT_ARGUMENT } from './input-words.ts';
import { EXIT_FAILED, paint } from './output.ts';
import { addTemplateOptions, type TemplateOptions } from './template-options.ts';

const FORMS = ['configuration', 'cloudformation', 'terraform', 'aws-cli'] as const;

interface ExportOptions extends TemplateOptions {
  readonly to: (typeof FORMS)[number];
  readonly address?: ReadonlyMap<string, string>;
}

export function addExportCommand(program: Command): void {
  const command = program
    .command('export')
    .summary('write the groups of an input as something else')
    .description(
      'Writes the groups, rules and prefix lists of an input on stdout: as a configuration, with the interfaces in namespaces; as a CloudFormation template; as Terraform, in its JSON syntax; or as a script of aws CLI commands.',
    )
    .argument('<file>', INPUT_ARGUMENT)
    .addOption(new Option('--to <form>', 'as what').choices(FORMS).makeOptionMandatory())
    .addHelpText(
      'after',
      `
What the input leaves open is not written, which opens nothing; it is told on
stderr, and so is what the other form can't say.

${exitCodeHelp('sgctl export')}

Examples:
  sgctl export account --to terraform > groups.tf.json
  sgctl export plan.json --to configuration > lab.yaml
  sgctl export template.yaml --to aws-cli`,
    );
  addAddressOption(addTemplateOptions(command)).action(runExport);
}

async function runExport(file: string, options: ExportOptions, command: Command): Promise<void> {
  const { readTemplateOptions } = await import('./template-settings.ts');
  const settings = readTemplateOptions(options, command);
  const addresses = options.address ?? new Map<string, string>();
  const config = await loadOrPrint(file, { settings, addresses });
  if (config === undefined) {
    process.exitCode = EXIT_FAILED;
    return;
  }
  const { text, losses } = await write(config, options.to);
  process.stdout.write(text);
  for (const loss of losses)
    console.error(`${paint('warning:', 'yellow', process.stderr)} ${printable(loss)}`);
}

async function write(
  config: Config,
  form: ExportOptions['to'],
): Promise<{ readonly text: string; readonly losses: readonly string[] }> {
  switch (form) {
    case 'configuration':
      return (await import('../outputs/write-configuration.ts')).writeConfiguration(config);
    case 'cloudformation':
      return (await import('../outputs/write-template.ts')).writeTemplate(config.model);
    case 'terraform':
      return (await import('../outputs/write-terraform.ts')).writeTerraform(config.model);
    case 'aws-cli':
      return (await import('../outputs/write-commands.ts')).writeCommands(config.model);
    default:
      return form satisfies never;
  }
}

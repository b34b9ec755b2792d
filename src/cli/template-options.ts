/**
 * `--stack-name`, `--parameter`, `--region` and the like: what a template can't say of itself, the same in every
 * command that takes one.
 */
import { InvalidArgumentError, type Command } from 'commander';
import { ACCOUNT_ID, REGION, STACK_NAME } from '../config/template-names.ts';

export interface TemplateOptions {
  readonly stackName?: string;
  readonly parameter?: ReadonlyMap<string, string>;
  readonly parametersFile?: string;
  readonly region?: string;
  readonly accountId?: string;
}

export function addTemplateOptions(command: Command): Command {
  return command
    .option('--stack-name <name>', 'the stack of the template; its file name if absent', parseStack)
    .option(
      '--parameter <key=value>',
      'a parameter of the templates; may be given more than once',
      collectParameter,
    )
    .option('--parameters-file <file>', 'parameters of the templates, as AWS takes them in a file')
    .option('--region <region>', 'where the templates are deployed: AWS::Region', parseRegion)
    .option('--account-id <id>', 'in which account: AWS::AccountId', parseAccount);
}

function collectParameter(
  text: string,
  before: ReadonlyMap<string, string> | undefined,
): ReadonlyMap<string, string> {
  const equals = text.indexOf('=');
  const key = text.slice(0, equals);
  if (equals < 1 || !/^[A-Za-z0-9]+$/.test(key)) throw new InvalidArgumentError('Write KEY=VALUE.');
  if (before?.has(key)) throw new InvalidArgumentError(`${key} is given twice.`);
  return new Map([...(before ?? []), [key, text.slice(equals + 1)]]);
}

function parseStack(text: string): string {
  if (STACK_NAME.test(text)) return text;
  throw new InvalidArgumentError("Use a letter and then up to 127 letters, digits and '-'.");
}

function parseRegion(text: string): string {
  if (REGION.test(text)) return text;
  throw new InvalidArgumentError('Write a region, as eu-west-1.');
}

function parseAccount(text: string): string {
  if (ACCOUNT_ID.test(text)) return text;
  throw new InvalidArgumentError('An account id has twelve digits.');
}

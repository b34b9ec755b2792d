/** What the options for templates say, with their parameters file read. */
import type { Command } from 'commander';
import { readParametersFile } from '../config/config-parameters-file.ts';
import { hasErrors, type Problem } from '../source/problem.ts';
import type { TemplateSettings } from '../inputs/read-templates.ts';
import { printProblems } from './check-text.ts';
import type { TemplateOptions } from './template-options.ts';

/** Ends by command.error if the parameters file has errors, which are printed by then. */
export function readTemplateOptions(options: TemplateOptions, command: Command): TemplateSettings {
  const problems: Problem[] = [];
  const { parametersFile, region, accountId } = options;
  const fromFile =
    parametersFile === undefined ? [] : [...readParametersFile(problems, parametersFile)];
  printProblems(problems, true);
  if (hasErrors(problems)) command.error('error: the parameters file has errors');
  return {
    stackName: options.stackName,
    account: {
      ...(region === undefined ? {} : { region }),
      ...(accountId === undefined ? {} : { accountId }),
    },
    parameters: new Map([
      ...fromFile.map(([name, { text }]) => [name, text] as const),
      ...(options.parameter ?? []),
    ]),
  };
}

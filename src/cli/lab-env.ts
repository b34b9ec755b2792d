/** `sgctl lab env`: the environment variables by which AWS's tools reach the API of a lab. */
import type { Command } from 'commander';
import { labEnvironment, type ApiEnvironment } from '../lab/api.ts';
import { LabError } from '../lab/errors.ts';
import { listStoredLabs, type StoredLab } from '../lab/state.ts';
import { exitCodeHelp } from './exit-codes.ts';
import { printJson } from './traffic-text.ts';

export function addLabEnvCommand(lab: Command): void {
  lab
    .command('env')
    .summary('how the aws CLI, Terraform and the like reach the API of a lab')
    .description(
      "Prints the environment variables by which AWS's tools reach the server of EC2's API that `sgctl lab up --api` gave to a lab, as lines for a shell. They hold the key of that lab.",
    )
    .argument('[name]', "the lab's name; may be left out if only one lab has an API")
    .option('--json', 'print them as JSON')
    .addHelpText(
      'after',
      `
${exitCodeHelp('sgctl lab env')}

Example:
  eval "$(sgctl lab env demo)"
  aws ec2 describe-security-groups`,
    )
    .action((name: string | undefined, options: { readonly json?: true }) => {
      const { directory, url } = findApi(name);
      printEnvironment(labEnvironment(directory, url), options.json === true);
    });
}

/** As JSON, or as lines for a shell. */
export function printEnvironment(environment: ApiEnvironment, isJson: boolean): void {
  if (isJson) printJson(environment);
  else
    for (const [variable, value] of Object.entries(environment))
      console.log(`export ${variable}=${value}`);
}

/** @throws LabError if there is none, or several could be meant */
function findApi(name: string | undefined): { readonly directory: string; readonly url: string } {
  const labs = listStoredLabs();
  const chosen = labs.filter(
    (one) => one.state?.api !== undefined && (name === undefined || one.name === name),
  );
  const [only, ...others] = chosen;
  if (only === undefined) throw noApi(name, labs);
  if (others.length > 0) {
    const names = chosen.map((one) => one.name).join(', ');
    throw new LabError(`several labs have an API: ${names}`, 'name one of them');
  }
  return { directory: only.directory, url: only.state!.api!.url };
}

function noApi(name: string | undefined, labs: readonly StoredLab[]): LabError {
  const hint = 'make one with: sgctl lab up FILE --api';
  if (name === undefined) return new LabError('no lab has an API', hint);
  return labs.some((one) => one.name === name)
    ? new LabError(`the lab ${name} has no API`, `take it down, and ${hint}`)
    : new LabError(`there is no lab called ${name}`, hint);
}

/** SSM: the one parameter by which the CDK sees that a place is bootstrapped. */
import { action, ApiError, type Action } from './action.ts';
import { BOOTSTRAP_VERSION, VERSION_PARAMETER } from './bootstrap.ts';

/** Nothing ever changes it. */
const MODIFIED = new Date(0);

export function ssmActions(region: string): readonly Action[] {
  return [
    action('ssm', 'GetParameter', 'read', async ({ Name: name }: { Name?: unknown }, caller) => {
      if (name !== VERSION_PARAMETER)
        throw new ApiError(
          'ParameterNotFound',
          `There is one parameter here, ${VERSION_PARAMETER}.`,
        );
      return {
        output: {
          Parameter: {
            ARN: `arn:aws:ssm:${region}:${caller.accountId}:parameter${name}`,
            DataType: 'text',
            LastModifiedDate: MODIFIED,
            Name: name,
            Type: 'String',
            Value: BOOTSTRAP_VERSION,
            Version: 1,
          },
        },
      };
    }),
  ];
}

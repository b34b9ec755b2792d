/** The CLI of the AWS CDK, run against secgroup-api. */
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type { TestContext } from 'node:test';
import { clientEnvironment, type ApiProgram } from './api-program.ts';
import { run, type CommandResult } from './process.ts';

const require = createRequire(import.meta.url);

export interface Cdk {
  readonly cli: string;
  /** The folder of aws-cdk-lib. */
  readonly library: string;
}

/** Skips the test where the CDK is not installed. */
export function findCdk(t: TestContext): Cdk | undefined {
  try {
    const cli = join(dirname(require.resolve('aws-cdk/package.json')), 'bin', 'cdk');
    return { cli, library: dirname(require.resolve('aws-cdk-lib/package.json')) };
  } catch {
    t.skip('needs aws-cdk and aws-cdk-lib');
    return undefined;
  }
}

/** Runs the CDK on the app `app.js` in a folder. An app is run again only if its environment is another one. */
export class CdkApp {
  private readonly cdk: Cdk;
  private readonly folder: string;
  private readonly api: Pick<ApiProgram, 'url' | 'key'>;
  private synthesised: string | undefined;

  constructor(cdk: Cdk, folder: string, api: Pick<ApiProgram, 'url' | 'key'>) {
    this.cdk = cdk;
    this.folder = folder;
    this.api = api;
  }

  async call(
    args: readonly string[],
    more: Readonly<Record<string, string>>,
  ): Promise<CommandResult> {
    const inputs = JSON.stringify(more);
    const app = this.synthesised === inputs ? 'cdk.out' : `${process.execPath} app.js`;
    this.synthesised = inputs;
    return run(process.execPath, [this.cdk.cli, '--app', app, '--no-notices', ...args], {
      cwd: this.folder,
      env: {
        ...clientEnvironment(this.folder, 'us-east-1', this.api),
        AWS_REGION: 'us-east-1',
        CI: '1',
        CDK_DISABLE_CLI_TELEMETRY: 'true',
        ...more,
      },
    });
  }
}

/** A lab with a server of EC2's API: AWS's clients reach it, packets obey, and nothing is left of it. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, test } from 'node:test';
import { isRunning } from '../../src/lab/processes.ts';
import { signedHeaders } from '../api/request.ts';
import { SGCTL } from '../support/sgctl.ts';
import { TestLab, whyNoLab } from './lab-support.ts';

const skip = whyNoLab() ?? false;

/** A signed call. @returns status and body */
async function call(
  environment: Readonly<Record<string, string>>,
  body: string,
): Promise<{ readonly status: number; readonly text: string }> {
  const url = environment['AWS_ENDPOINT_URL'];
  const key = {
    accessKeyId: environment['AWS_ACCESS_KEY_ID'],
    secretAccessKey: environment['AWS_SECRET_ACCESS_KEY'],
  };
  const { host: _, ...headers } = signedHeaders(key, Number(new URL(url).port), {
    service: 'ec2',
    body: `Version=2016-11-15&${body}`,
  });
  const answer = await fetch(url, { method: 'POST', headers, body: `Version=2016-11-15&${body}` });
  return { status: answer.status, text: await answer.text() };
}

describe('a lab with an API, as root', { skip }, () => {
  test('calls are in force in it, and it goes with the lab', async (t) => {
    const lab = new TestLab(t);
    const up = lab.sgctl('up', lab.file, '--name', lab.name, '--api');
    assert.deepEqual([up.code, up.stderr], [0, '']);
    const { api, id } = lab.state;
    assert.ok(api !== undefined && isRunning(api.process));
    assert.match(up.stdout, new RegExp(`^EC2's API is at ${api.url}\\.$`, 'm'));
    assert.match(up.stdout, new RegExp(`^  eval "\\$\\(.*sgctl.* lab env ${lab.name}\\)"$`, 'm'));

    const env = lab.sgctl('env', lab.name, '--json');
    const environment = JSON.parse(env.stdout) as Record<string, string>;
    assert.equal(environment['AWS_ENDPOINT_URL'], api.url);
    const lines = lab.sgctl('env', lab.name).stdout;
    assert.deepEqual(
      lines.trimEnd().split('\n'),
      Object.entries(environment).map(([name, value]) => `export ${name}=${value}`),
    );

    const made = await call(
      environment,
      'Action=CreateSecurityGroup&GroupName=by-call&GroupDescription=d',
    );
    assert.equal(made.status, 200, made.text);
    const status = JSON.parse(
      spawnSync(process.execPath, [SGCTL, 'status', '--lab', lab.name, '--json'], {
        encoding: 'utf8',
      }).stdout,
    ) as { readonly store: { readonly host: string; readonly notInForce: unknown[] } };
    assert.equal(status.store.host, lab.name);
    assert.deepEqual(status.store.notInForce, []);
    const declared = await call(environment, 'Action=DescribeSecurityGroups');
    for (const name of ['by-call', 'client', 'server', 'default'])
      assert.match(declared.text, new RegExp(`<groupName>${name}</groupName>`));

    assert.equal(lab.sgctl('down', lab.name).code, 0);
    assert.equal(isRunning(api.process), false);
    lab.assertGone(id);
  });

  test('a lab without one says how to get one', (t) => {
    const lab = new TestLab(t);
    lab.up();
    const env = lab.sgctl('env', lab.name);
    assert.equal(env.code, 1);
    assert.equal(
      env.stderr,
      `sgctl: the lab ${lab.name} has no API\n    take it down, and make one with: sgctl lab up FILE --api\n`,
    );
    const none = lab.sgctl('env', 'sgt-none');
    assert.match(none.stderr, /^sgctl: there is no lab called sgt-none$/m);
  });
});

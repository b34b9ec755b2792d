/**
 * `cdk deploy`, `cdk diff` and `cdk destroy` against the program itself, with both synthesizers.
 *
 * Starts early: each deployment takes a minute.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { listObjects } from '../../src/api/s3/objects.ts';
import { EstateClient } from '../../src/estate/estate-client.ts';
import { ruleKey } from '../../src/policy/rules.ts';
import { openStore } from '../../src/store/open-store.ts';
import { startApiProgram } from '../support/api-program.ts';
import { CdkApp, findCdk, type Cdk } from '../support/cdk.ts';
import { GUARD_MS } from '../support/guard-time.ts';
import type { CommandResult } from '../support/process.ts';

interface Synthesizer {
  readonly name: 'LegacyStackSynthesizer' | 'DefaultStackSynthesizer';
  /** How many objects it uploads for a stack with one file, and for another template of it. */
  readonly uploads: readonly [first: number, second: number];
}

const SYNTHESIZERS: readonly Synthesizer[] = [
  { name: 'LegacyStackSynthesizer', uploads: [0, 0] },
  { name: 'DefaultStackSynthesizer', uploads: [2, 3] },
];

function appText({ library }: Cdk, { name }: Synthesizer): string {
  const hasFile = name === 'DefaultStackSynthesizer';
  return `
const { App, CfnOutput, ${name}, Stack } = require(${JSON.stringify(library)});
const ec2 = require(${JSON.stringify(join(library, 'aws-ec2'))});
const { Asset } = require(${JSON.stringify(join(library, 'aws-s3-assets'))});
const app = new App();
const stack = new Stack(app, 'Shop', { synthesizer: new ${name}() });
const vpc = new ec2.Vpc(stack, 'Net', { maxAzs: 2, natGateways: 0 });
const web = new ec2.SecurityGroup(stack, 'Web', { vpc });
const db = new ec2.SecurityGroup(stack, 'Db', { vpc, allowAllOutbound: false });
web.addIngressRule(ec2.Peer.ipv4('10.0.0.0/8'), ec2.Port.tcp(Number(process.env.SHOP_PORT)));
db.addIngressRule(web, ec2.Port.tcp(5432));
new CfnOutput(stack, 'WebId', { value: web.securityGroupId });
${hasFile ? "new Asset(stack, 'File', { path: 'app.js' });" : ''}
app.synth();
`;
}

for (const synthesizer of SYNTHESIZERS)
  test(`cdk deploys, again, with a change, and destroys: ${synthesizer.name}`, async (t) => {
    const cdk = findCdk(t);
    if (cdk === undefined) return;
    const folder = mkdtempSync(join(tmpdir(), 'sgt-cdk-'));
    const api = await startApiProgram(folder, { policy: 'write' });
    const { store } = api;
    t.after(() => api.server.stop());
    const client = await EstateClient.open({
      store: await openStore(store, assert.fail),
      onTrouble: (message) => assert.fail(message),
    });
    t.after(() => client.close());
    // Last: who uses the store has closed it.
    t.after(() => rmSync(folder, { recursive: true, force: true }));
    writeFileSync(join(folder, 'app.js'), appText(cdk, synthesizer));
    const app = new CdkApp(cdk, folder, api);
    const call = (port: number, ...args: readonly string[]): Promise<CommandResult> =>
      app.call([...args, 'Shop'], { SHOP_PORT: String(port) });
    const catchUp = async (): Promise<void> => {
      const { revision } = await openedRevision(store);
      assert.ok(await client.reach(revision, GUARD_MS));
    };
    const { estate } = client;
    const rules = async (): Promise<readonly string[]> => {
      await catchUp();
      const named = estate.list('groups').filter(({ group }) => /^Shop-Web/.test(group.name));
      return named.flatMap(({ group }) => group.ingress.map(ruleKey));
    };
    const succeed = async (port: number, ...args: readonly string[]): Promise<string> => {
      const { code, stdout, stderr } = await call(port, ...args);
      assert.equal(code, 0, stdout + stderr);
      return stdout + stderr;
    };
    const deploy = ['deploy', '--require-approval', 'never'] as const;

    assert.match(await succeed(443, ...deploy), /Shop\.WebId = sg-[0-9a-f]{17}/);
    assert.deepEqual(await rules(), ['tcp 443 from 10.0.0.0/8']);
    assert.equal(estate.list('vpcs').length, 2);
    assert.equal(listObjects(estate).length, synthesizer.uploads[0]);

    assert.match(await succeed(443, 'diff', '--fail'), /There were no differences/);
    assert.match(await succeed(443, ...deploy), /Shop \(no changes\)/);
    const differs = await call(80, 'diff', '--fail');
    assert.equal(differs.code, 1, differs.stdout + differs.stderr);
    await succeed(80, ...deploy);
    assert.deepEqual(await rules(), ['tcp 80 from 10.0.0.0/8']);
    assert.equal(listObjects(estate).length, synthesizer.uploads[1]);

    await succeed(80, 'destroy', '--force');
    assert.deepEqual(await rules(), []);
    assert.equal(estate.list('vpcs').length, 1);
  });

test('cdk bootstrap ends well, and there is nothing that it has to make', async (t) => {
  const cdk = findCdk(t);
  if (cdk === undefined) return;
  const folder = mkdtempSync(join(tmpdir(), 'sgt-cdk-'));
  const api = await startApiProgram(folder, { policy: 'write' });
  t.after(() => api.server.stop());
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const library = JSON.stringify(cdk.library);
  writeFileSync(
    join(folder, 'app.js'),
    `const { App, Stack } = require(${library}); new Stack(new App(), 'Empty');`,
  );
  const app = new CdkApp(cdk, folder, api);
  const call = async (): Promise<string> => {
    const target = 'aws://123456789012/us-east-1';
    const { code, stdout, stderr } = await app.call(['bootstrap', target], {});
    assert.equal(code, 0, stdout + stderr);
    return stdout + stderr;
  };
  assert.match(await call(), /nothing is made of AWS::S3::Bucket here[^]*bootstrapped\./);
  assert.match(await call(), /bootstrapped \(no changes\)/);
});

/** The store as it is now. */
async function openedRevision(store: string): Promise<{ readonly revision: number }> {
  const opened = await openStore(store, assert.fail);
  const { revision } = await opened.read('');
  await opened.close();
  return { revision };
}

/** A dry run of the API tells of live connections and of what it would newly admit, changes nothing, and is right. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { awsClis, endpointOptions, type AwsCli } from '../support/aws-cli.ts';
import { clientEnvironment } from '../support/api-program.ts';
import type { Netns } from '../support/netns.ts';
import { run, type CommandResult, type Running } from '../support/process.ts';
import { startApiWorld } from './api-world.ts';
import { canRun } from './world.ts';

const ECHO = fileURLToPath(new URL('./echo.js', import.meta.url));
/** In the first subnet of the default VPC. */
const WEB = '172.31.0.100';
/** Writes a byte every 50 ms, and counts those that come back. */
const TALK = `
const socket = require('node:net').connect(8080, '${WEB}');
let count = 0;
socket.on('connect', () => {
  console.log('connected from ' + socket.localPort);
  setInterval(() => socket.write('x'), 50);
});
socket.on('data', (bytes) => { for (const _ of bytes) console.log('echo ' + ++count + ';'); });
socket.on('error', (error) => { console.log('failed ' + error.code); process.exit(1); });
`;

/** Waits until more has come back than until now. */
async function mustLive(talk: Running): Promise<void> {
  const before = talk.stdout().match(/echo/g)?.length ?? 0;
  await talk.waitFor(new RegExp(`echo ${before + 10};`));
}

function connectOnce(out: Netns, port: number): Promise<CommandResult> {
  const url = `telnet://${WEB}:${port}`;
  return out.run('curl', ['-s', '-m', '2', '--connect-timeout', '1', url]);
}

const CURL_TIMED_OUT_CONNECTING = 28;

test('a dry run tells what the call then does', async (t) => {
  if (!canRun(t)) return;
  const clis = awsClis();
  if (clis.length === 0) {
    t.skip('needs aws (not found on the PATH)');
    return;
  }
  await tryDryRuns(t, clis[0]);
});

async function tryDryRuns(t: TestContext, cli: AwsCli): Promise<void> {
  const { url, key, folder, netns, daemon } = await startApiWorld(t, ['web']);
  const { web, out } = netns;
  const env = clientEnvironment(folder, 'us-east-1', { url, key });
  const aws = async (action: string, ...options: readonly string[]): Promise<CommandResult> =>
    run(cli.path, ['ec2', action, ...options, ...endpointOptions(cli, url)], {
      env,
    });
  const must = async (action: string, ...options: readonly string[]): Promise<string> => {
    const { code, stdout, stderr } = await aws(action, ...options, '--output', 'text');
    assert.equal(code, 0, stderr + daemon.output);
    return stdout.trim();
  };
  const dry = async (action: string, ...options: readonly string[]): Promise<string> => {
    const { stderr } = await aws(action, ...options, '--dry-run');
    const told = /\(DryRunOperation\).*DryRun flag is set\. (.*)/.exec(stderr)?.[1];
    assert.ok(told !== undefined, stderr);
    return told;
  };
  const subnet = await must(
    ...(['describe-subnets', '--filters', 'Name=availability-zone,Values=us-east-1a'] as const),
    ...['--query', 'Subnets[0].SubnetId'],
  );
  const group = await must(
    ...(['create-security-group', '--group-name', 'web', '--description', 'd'] as const),
    ...['--query', 'GroupId'],
  );
  const tags = `{Key=secgroupd:netns,Value=${web.path}},{Key=secgroupd:device,Value=eth0},{Key=Name,Value=web}`;
  const card = await must(
    ...(['create-network-interface', '--subnet-id', subnet, '--groups', group] as const),
    ...['--private-ip-address', WEB, '--query', 'NetworkInterface.NetworkInterfaceId'],
    ...['--tag-specifications', `ResourceType=network-interface,Tags=[${tags}]`],
  );
  const rule = (port: number): readonly string[] => [
    ...['--group-id', group, '--protocol', 'tcp', '--port', String(port)],
    ...['--cidr', '10.9.0.0/24'],
  ];
  await must('authorize-security-group-ingress', ...rule(8080));
  for (const port of ['8080', '8081']) {
    const server = await web.start(process.execPath, [ECHO, 'serve', port]);
    await server.waitFor(/ready/);
  }
  const talk = await out.start(process.execPath, ['-e', TALK]);
  const [, from] = await talk.waitFor(/connected from (\d+)/);
  await mustLive(talk);
  const connection = `tcp 10.9.0.1:${from} to ${WEB}:8080 at web`;

  assert.equal((await connectOnce(out, 8081)).code, CURL_TIMED_OUT_CONNECTING);
  assert.equal(
    await dry('authorize-security-group-ingress', ...rule(8081)),
    'On here it would cut 0 of 1 connection. It would newly admit web ingress: tcp 8081 from 10.9.0.0/24 at web.',
  );
  assert.equal((await connectOnce(out, 8081)).code, CURL_TIMED_OUT_CONNECTING);

  assert.equal(
    await dry('revoke-security-group-ingress', ...rule(8080)),
    `On here it would cut 0 of 1 connection. 1 would live on and could not be opened again: ${connection}. It would newly admit nothing.`,
  );
  assert.equal(
    await dry('delete-network-interface', '--network-interface-id', card),
    `On here it would cut 1 of 1 connection (1 by web ingress: tcp 8080 from 10.9.0.0/24): ${connection}. It would newly admit nothing.`,
  );
  await mustLive(talk);

  await must('revoke-security-group-ingress', ...rule(8080));
  await mustLive(talk);
  assert.equal((await connectOnce(out, 8080)).code, CURL_TIMED_OUT_CONNECTING, 'not again');
  await must('delete-network-interface', '--network-interface-id', card);
  assert.notEqual((await web.run('ip', ['link', 'show', 'eth0'])).code, 0);
}

/** The daemon itself between two TUN devices, and the relay: the same process with nothing decided (relay.ts). */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Running } from '../../support/process.ts';
import { start } from '../../support/process.ts';
import type { Bench } from '../bench.ts';
import { FIRST_PORT, LAST_PORT, makeEnds, type Rival } from './rival.ts';

const MAIN = fileURLToPath(new URL('../../../src/main.js', import.meta.url));
/** The daemon in single modules, inlined as well: in the bundle (scripts/bundle) there is no Engine of its own to change. */
const MODULES = fileURLToPath(new URL('../../../src/daemon/start.js', import.meta.url));
const RELAY = new URL('../relay.js', import.meta.url).href;
const CLIENT = '10.1.0.2';
const SERVER = '10.2.0.2';
const READY_TIMEOUT_MS = 15_000;

const INGRESS = `ingress: [
      { protocol: tcp, ports: ${FIRST_PORT}-${LAST_PORT}, from: "sg:client" },
      { protocol: udp, ports: ${FIRST_PORT}-${LAST_PORT}, from: "sg:client" },
    ]`;

export function startSecgroupd(bench: Bench): Promise<Rival> {
  return startDaemon(bench, 'secgroupd', [MAIN], INGRESS);
}

export function startRelay(bench: Bench): Promise<Rival> {
  return startDaemon(bench, 'relay', ['--import', RELAY, MODULES], 'ingress: []');
}

async function startDaemon(
  bench: Bench,
  name: 'secgroupd' | 'relay',
  nodeArguments: readonly string[],
  ingress: string,
): Promise<Rival> {
  const { client, server } = await makeEnds(bench);
  const file = bench.path(`${name}.yaml`);
  writeFileSync(
    file,
    `securityGroups:
  client: {}
  server:
    ${ingress}
interfaces:
  client: { device: { netns: ${client.path}, name: eth0 }, addresses: [${CLIENT}], securityGroups: [client] }
  server: { device: { netns: ${server.path}, name: eth0 }, addresses: [${SERVER}], securityGroups: [server] }
`,
  );
  const daemon = await start(process.execPath, [
    ...interpreterOptions(),
    ...nodeArguments,
    '--config',
    file,
  ]);
  bench.scope.after(() => daemon.stop());
  await daemon.waitFor(/"packets flow"/, READY_TIMEOUT_MS);
  failWithIt(daemon, name);
  return {
    name,
    client,
    server,
    clientAddress: CLIENT,
    serverAddress: SERVER,
    refuses: name === 'secgroupd',
    pid: daemon.pid,
  };
}

/** Those of the daemon's first line, with which it runs where it is installed. */
function interpreterOptions(): string[] {
  const [line] = readFileSync(MAIN, 'utf8').split('\n', 1);
  return (/^#!.* node (.*)$/.exec(line)?.[1] ?? '').split(' ').filter((option) => option !== '');
}

/** A daemon that ends in the middle would show as a rival that loses everything. */
function failWithIt(daemon: Running, name: string): void {
  void daemon.ended.then(({ code, signal, stderr }) => {
    if (code === 0 || signal === 'SIGKILL') return;
    process.stderr.write(`bench: ${name} ended with ${code ?? signal}:\n${stderr}`);
    process.exit(1);
  });
}

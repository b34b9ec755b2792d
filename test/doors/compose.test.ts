/** Services of Docker Compose under groups: those of the network, and those that a service names itself. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { test, type TestContext } from 'node:test';
import { run } from '../support/process.ts';
import { findCompose, type Compose } from '../support/compose.ts';
import { canRunDocker, DockerWorld, IMAGE } from './docker-world.ts';

const FILE = 'compose.yaml';

/** @param ofService what a service says of its place in the network */
const project = (ofService: string): string => `
services:
  web:
    image: ${IMAGE}
    command: ["httpd", "-f", "-p", "80", "-h", "/www"]
    stop_signal: SIGKILL
    networks: { vpc: { aliases: [shop]${ofService} } }
  app:
    image: ${IMAGE}
    command: ["sleep", "1000"]
    stop_signal: SIGKILL
    networks: [vpc]
networks:
  vpc:
    name: composed
    driver: secgroupd
    driver_opts: { sg: app }
    ipam: { config: [{ subnet: 10.81.0.0/24 }] }
`;

class Project {
  private readonly world: DockerWorld;
  private readonly compose: Compose;

  constructor(world: DockerWorld, compose: Compose, ofService: string) {
    this.world = world;
    this.compose = compose;
    writeFileSync(world.path(FILE), project(ofService));
  }

  async call(...args: readonly string[]): Promise<string> {
    const [, , { env }] = this.world.command();
    const { code, stderr } = await run(
      this.compose.program,
      ['-p', 'sgt', '-f', this.world.path(FILE), ...args],
      { env },
    );
    assert.equal(code, 0, `${args.join(' ')}: ${stderr}\n${this.world.doorLog}`);
    return stderr;
  }

  /** The groups of the containers, by the names of their services. */
  async groups(): Promise<Readonly<Record<string, string>>> {
    const all = await this.world.interfaces();
    const found: Record<string, string> = {};
    for (const service of ['web', 'app']) {
      const address = await this.addressOf(service);
      const one = all.find(({ addresses }) => addresses.includes(address));
      found[service] = one?.securityGroups.map(({ name }) => name).join(' ') ?? 'none';
    }
    return { ...found, count: String(all.length) };
  }

  /** Whether `app` is answered by `web`, which it asks for by the alias. */
  async isAnswered(): Promise<boolean> {
    const request = "printf 'GET /cgi-bin/who HTTP/1.0\\r\\n\\r\\n' | nc -w 2 shop 80";
    const id = await this.idOf('app');
    const { stdout } = await this.world.tryDocker('exec', id, 'sh', '-c', request);
    return /^\[.*\]$/m.test(stdout);
  }

  private async addressOf(service: string): Promise<string> {
    const format = '{{.NetworkSettings.Networks.composed.IPAddress}}';
    return this.world.docker('inspect', '-f', format, await this.idOf(service));
  }

  private idOf(service: string): Promise<string> {
    const label = `label=com.docker.compose.service=${service}`;
    return this.world.docker('ps', '-q', '--no-trunc', '--filter', label);
  }
}

test('Docker Compose', async (t) => {
  if (!canRunDocker(t)) return;
  const compose = findCompose();
  if (compose === undefined) {
    t.skip('needs docker-compose');
    return;
  }
  const world = await DockerWorld.make(t);
  if (world === undefined) return;
  t.diagnostic(`Docker Compose ${compose.version}`);
  await t.test('services have the groups of their network', () => ofNetwork(world, compose));
  await t.test('a service names groups itself', (part) => ofService(part, world, compose));
});

async function ofNetwork(world: DockerWorld, compose: Compose): Promise<void> {
  const one = new Project(world, compose, '');
  await one.call('up', '-d');
  assert.deepEqual(await one.groups(), { web: 'app', app: 'app', count: '2' });
  assert.equal(await one.isAnswered(), false);
  await one.call('restart', '-t', '0');
  assert.deepEqual(await one.groups(), { web: 'app', app: 'app', count: '2' });
  await one.call('down', '-t', '0');
  assert.deepEqual(await world.interfaces(), []);
}

async function ofService(t: TestContext, world: DockerWorld, compose: Compose): Promise<void> {
  if (!compose.hasServiceOptions) {
    t.skip(`Docker Compose ${compose.version} has no driver_opts of a service; 2.27.1 has`);
    return;
  }
  const one = new Project(world, compose, ', driver_opts: { sg: "web,ping" }');
  const asked = { web: 'web ping', app: 'app', count: '2' };
  await one.call('up', '-d');
  assert.deepEqual(await one.groups(), asked);
  assert.equal(await one.isAnswered(), true);
  await one.call('restart', '-t', '0', 'web');
  await one.call('up', '-d', '--force-recreate', '-t', '0', 'app');
  assert.deepEqual(await one.groups(), asked);
  assert.equal(await one.isAnswered(), true);
  await one.call('down', '-t', '0');
  assert.deepEqual(await world.interfaces(), []);
}

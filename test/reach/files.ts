/** Configurations and expectations as tests write them, in a directory of their own. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { loadSuite } from '../../src/reach/load-suite.ts';
import type { Suite } from '../../src/reach/suite.ts';

const NETNS_DIRECTORY = '/run/netns';

/** Two web servers, an application server with IPv4 alone, a group on nothing, and a way out. */
export const CONFIG = `uplink: { tun: up0, netns: out, addresses: [10.99.0.1/24, 'fd00:99::1/64'] }
securityGroups:
  web:
    ingress:
      - { protocol: tcp, ports: 80, from: 0.0.0.0/0, description: site }
      - { protocol: tcp, ports: 80, from: '::/0', description: site }
      - { protocol: tcp, ports: 22, from: 203.0.113.0/24, description: office }
  app:
    ingress:
      - { protocol: tcp, ports: 8080, from: 'sg:web', description: web to app }
      - { protocol: icmp, type: 8, from: 'sg:web' }
    egress: []
  spare: {}
interfaces:
  web-1: { device: { name: w1, netns: n1 }, addresses: [10.0.0.1, 'fd00::1'], securityGroups: [web] }
  web-2: { device: { name: w2, netns: n2 }, addresses: [10.0.0.2, 'fd00::2'], securityGroups: [web] }
  app-1: { device: { name: a1, netns: n3 }, addresses: [10.0.0.3], securityGroups: [app] }
platformServices: [time-sync]
`;

export class Files {
  readonly directory = mkdtempSync(join(tmpdir(), 'sgt-reach-'));

  constructor() {
    after(() => rmSync(this.directory, { recursive: true, force: true }));
  }

  write(name: string, text: string): string {
    const file = join(this.directory, name);
    writeFileSync(file, text);
    return file;
  }

  /** The suite of these expectations about CONFIG, or another; fails if there is a problem. */
  suite(expectations: string, config = CONFIG): Suite {
    const { suite, problems } = this.load(expectations, config);
    assert.deepEqual(problems, []);
    return suite!;
  }

  load(expectations: string, config = CONFIG): ReturnType<typeof loadSuite> {
    this.write('config.yaml', config);
    const file = this.write('expect.yaml', `config: config.yaml\n${expectations}`);
    return loadSuite(file, { netnsDirectory: NETNS_DIRECTORY });
  }

  /** Problems as `line:column message`; the lines are those of the expectations, the first is `config:`. */
  problems(expectations: string, config = CONFIG): readonly string[] {
    return this.load(expectations, config).problems.map(
      ({ at, message }) => `${at!.line}:${at!.column} ${message}`,
    );
  }
}

/**
 * This file keeps what Docker told once: the networks with their options, and the endpoints. dockerd does not repeat
 * CreateNetwork after a restart.
 *
 * A rename replaces the file, so it is never half-written. What is about to be made is written first: the file may name
 * an interface that isn't there, and every interface that is there is named. A file that can't be read stops the start,
 * since to go on without it would forget networks that Docker has.
 */
import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import type { PortKindName } from '../../ports/port-kind.ts';

const FILE = 'docker.json';
const VERSION = 1;

export interface Subnet {
  readonly cidr: string;
  readonly gateway?: string;
}

export interface Network {
  readonly subnets: readonly Subnet[];
  /** Whether its containers reach further than the host with the host's address. */
  readonly masquerade: boolean;
  /** Its containers have leased addresses of a subnet of the EC2 API's (ipam-driver.ts); absent: Docker chooses. */
  readonly isLeased?: true;
  /** Of its containers' devices; absent: the default. */
  readonly kind?: PortKindName;
  /** For containers that name none. */
  readonly securityGroups?: readonly string[];
}

export interface PublishedPort {
  readonly protocol: 'tcp' | 'udp' | 'sctp';
  /** Empty: every address of the host in the family of `address`. */
  readonly hostAddress: string;
  readonly hostPort: number;
  readonly address: string;
  readonly port: number;
}

export interface Endpoint {
  readonly networkId: string;
  readonly addresses: readonly string[];
  readonly ports: readonly PublishedPort[];
  /** Of an interface that a call of the EC2 API made; absent: it has one of its own. */
  readonly eni?: string;
  /** It is to go, and its interface could not be taken away yet. */
  readonly isGoing?: true;
}

interface Content {
  readonly version: number;
  readonly networks: Readonly<Record<string, Network>>;
  readonly endpoints: Readonly<Record<string, Endpoint>>;
}

export class DockerState {
  private readonly directory: string;
  readonly networks: Map<string, Network>;
  readonly endpoints: Map<string, Endpoint>;

  /** @throws Error if the file is there and can't be read */
  constructor(directory: string) {
    this.directory = directory;
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const { networks, endpoints } = readContent(join(directory, FILE));
    this.networks = new Map(Object.entries(networks));
    this.endpoints = new Map(Object.entries(endpoints));
  }

  /** Writes what there is now. @throws Error with `code` (ENOSPC, EACCES, …); the older file stays then */
  save(): void {
    const content: Content = {
      version: VERSION,
      networks: Object.fromEntries(this.networks),
      endpoints: Object.fromEntries(this.endpoints),
    };
    const file = join(this.directory, FILE);
    const next = `${file}.new`;
    const fd = openSync(next, 'w', 0o600);
    try {
      writeFileSync(fd, `${JSON.stringify(content, undefined, 2)}\n`);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(next, file);
  }
}

function readContent(file: string): Content {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    return { version: VERSION, networks: {}, endpoints: {} };
  }
  const advice = 'restore it, or remove it and then every network of the driver secgroupd';
  let content: Content;
  try {
    content = JSON.parse(text) as Content;
  } catch {
    throw new Error(`${file} is no JSON: ${advice}`);
  }
  if (content.version !== VERSION) throw new Error(`${file} is of another version: ${advice}`);
  return content;
}

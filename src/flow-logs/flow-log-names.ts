/**
 * LogNames gives the names that flow logs need: of interfaces, of the groups of rules, and of local and platform
 * addresses.
 */
import { formatAddress } from '../addr/address.ts';
import type { Config } from '../config/config.ts';
import type { Observatory } from '../telemetry/observatory.ts';
import type { Tuple } from '../telemetry/packet-events.ts';

/** What the configuration says of an interface. */
export interface NamedInterface {
  readonly id: string;
  readonly name: string;
  /** Primary private addresses. Undefined if it has none of the family. */
  readonly primary4: string | undefined;
  readonly primary6: string | undefined;
}

/** Caches for names. They are rebuilt when the configuration changes. */
export class LogNames {
  private readonly observatory: Observatory;
  private config: Config | undefined;
  private byPort: ReadonlyMap<number, NamedInterface> = new Map();
  private local: ReadonlySet<string> = new Set();
  /** Address, protocol and port of each service. */
  private exempt: ReadonlySet<string> = new Set();

  constructor(observatory: Observatory) {
    this.observatory = observatory;
  }

  /** Interfaces by port, without the uplink and the platform's: they are no instance's. */
  get interfaces(): ReadonlyMap<number, NamedInterface> {
    this.refresh();
    return this.byPort;
  }

  /** Checks whether an interface here has the address. */
  isLocal(address: string): boolean {
    this.refresh();
    return this.local.has(address);
  }

  /** Checks for traffic of a service that groups never filter (DNS, metadata, time). AWS does not log it. */
  isExempt({ remoteAddress, protocol, remotePort }: Tuple): boolean {
    this.refresh();
    return this.exempt.has(`${remoteAddress} ${protocol} ${remotePort}`);
  }

  private refresh(): void {
    const { config } = this.observatory;
    if (config === this.config) return;
    this.config = config;
    const { model } = config;
    const byName = new Map(config.interfaces.map(({ id, name }) => [name, id]));
    const byPort = new Map<number, NamedInterface>();
    for (const [port, name] of this.observatory.portNames()) {
      const id = byName.get(name);
      if (id === undefined) continue;
      const { addresses, isPlatform } = model.interfaces.get(id)!;
      if (isPlatform === true) continue;
      const primary = (family: 4 | 6): string | undefined => {
        const found = addresses.find((address) => address.family === family);
        return found === undefined ? undefined : formatAddress(found);
      };
      byPort.set(port, { id, name, primary4: primary(4), primary6: primary(6) });
    }
    this.byPort = byPort;
    this.local = new Set(
      [...model.interfaces.values()].flatMap(({ addresses }) => addresses.map(formatAddress)),
    );
    this.exempt = new Set(
      config.special.exempt.map(
        ({ address, protocol, port }) => `${formatAddress(address)} ${protocol} ${port}`,
      ),
    );
  }
}

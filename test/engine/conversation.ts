/** Two ends of a TCP connection that keep their sequence numbers right, and the packets they send. */
import { tcp4, tcp6, type TcpOptions } from '../packets/build.ts';

export interface Side {
  readonly address: string;
  readonly port: number;
  /** Next sequence number it will send. */
  next: number;
  /** Scale it offers; undefined: none. */
  readonly scale: number | undefined;
  window: number;
}

export type SideOptions = Partial<Pick<Side, 'next' | 'scale' | 'window'>>;

export class Conversation {
  readonly client: Side;
  readonly server: Side;

  constructor(
    client: string,
    clientPort: number,
    server: string,
    serverPort: number,
    options: { readonly client?: SideOptions; readonly server?: SideOptions } = {},
  ) {
    const side = (address: string, port: number, next: number, more: SideOptions = {}): Side => ({
      address,
      port,
      next,
      scale: undefined,
      window: 65535,
      ...more,
    });
    this.client = side(client, clientPort, 1000, options.client);
    this.server = side(server, serverPort, 900_000, options.server);
  }

  syn(): Uint8Array {
    return this.send('client', { flags: 'S', ...scaleOf(this.client) });
  }

  synAck(): Uint8Array {
    return this.send('server', { flags: 'SA', ...scaleOf(this.server) });
  }

  ack(from: 'client' | 'server'): Uint8Array {
    return this.send(from, { flags: 'A' });
  }

  data(from: 'client' | 'server', bytes = 10): Uint8Array {
    return this.send(from, { flags: 'PA', payload: 'x'.repeat(bytes) });
  }

  fin(from: 'client' | 'server'): Uint8Array {
    return this.send(from, { flags: 'FA' });
  }

  rst(from: 'client' | 'server', more: Partial<TcpOptions> = {}): Uint8Array {
    return this.send(from, { flags: 'RA', ...more });
  }

  /** A packet with right numbers unless others are given; moves the sender's on. */
  send(
    from: 'client' | 'server',
    options: Partial<TcpOptions> & { readonly flags: string },
  ): Uint8Array {
    const sender = this[from];
    const receiver = this[from === 'client' ? 'server' : 'client'];
    const { flags, payload = '' } = options;
    const packet: TcpOptions = {
      srcPort: sender.port,
      dstPort: receiver.port,
      seq: sender.next >>> 0,
      ack: flags.includes('A') ? receiver.next >>> 0 : 0,
      window: sender.window,
      ...options,
    };
    if (options.seq === undefined) {
      const marks = (flags.includes('S') ? 1 : 0) + (flags.includes('F') ? 1 : 0);
      sender.next = (sender.next + payload.length + marks) >>> 0;
    }
    const make = sender.address.includes(':') ? tcp6 : tcp4;
    return make(sender.address, receiver.address, packet);
  }
}

function scaleOf({ scale }: Side): { readonly windowScale?: number } {
  return scale === undefined ? {} : { windowScale: scale };
}

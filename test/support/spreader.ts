/** Spreads TCP connections over servers, in turn, as a load balancer does that knows nothing of what they carry. */
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import type { TestContext } from 'node:test';

export class Spreader {
  /** How many connections each port got. */
  readonly taken = new Map<number, number>();
  private readonly server: Server;
  private readonly ports: readonly number[];
  private readonly sockets = new Set<Socket>();
  private turn = 0;

  private constructor(ports: readonly number[]) {
    this.ports = ports;
    this.server = createServer((near) => this.pass(near, ports.length));
  }

  /** @param urls of servers on loopback; one that refuses a connection is passed over */
  static async over(t: TestContext, urls: readonly string[]): Promise<Spreader> {
    const spreader = new Spreader(urls.map((url) => Number(new URL(url).port)));
    await new Promise<void>((resolve) => spreader.server.listen(0, '127.0.0.1', resolve));
    t.after(() => {
      spreader.server.close();
      for (const socket of spreader.sockets) socket.destroy();
    });
    return spreader;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  private pass(near: Socket, tries: number): void {
    const port = this.ports[this.turn++ % this.ports.length];
    const far = connect(port, '127.0.0.1');
    const refused = (): void => {
      if (tries > 1) this.pass(near, tries - 1);
      else near.destroy();
    };
    far.once('error', refused);
    far.once('connect', () => {
      far.off('error', refused);
      this.taken.set(port, (this.taken.get(port) ?? 0) + 1);
      for (const [from, to] of [
        [near, far],
        [far, near],
      ]) {
        this.sockets.add(from);
        from.on('error', () => undefined);
        from.on('close', () => {
          this.sockets.delete(from);
          to.destroy();
        });
        from.pipe(to);
      }
    });
  }
}

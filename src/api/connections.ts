/**
 * This file bounds what clients' connections can hold of the server.
 *
 * Theory of operation
 *
 * Problem. Anybody who reaches the address may open connections and say nothing, send a header or a body a byte a
 * second, or send a large body on each of many connections. Whoever has a key must get an answer all the same.
 *
 * Limits. At most CONNECTIONS_MAX connections are held. When one more comes, the address with the most loses one that
 * has no call at work: the one that has been so for longest. A connection is at work from when its request has been
 * read as a whole, so trickling keeps none alive. Where all of that address are at work the new one is closed. What
 * bodies have beyond BODY_FREE comes out of BODY_BYTES_MAX for all: who fills it keeps out large requests, and no
 * ordinary one. Node.js ends requests that take too long to arrive (server.ts).
 */
import type { Socket } from 'node:net';

export const CONNECTIONS_MAX = 512;
/** Of one request: AWS takes no larger ones, and a template of 51,200 bytes has a third of it when encoded. */
export const BODY_MAX = 1 << 20;
/** The first bytes of each body, which are not counted: more than an ordinary call has. */
export const BODY_FREE = 16 << 10;
/** Beyond that, of all requests that are being read or at work. */
export const BODY_BYTES_MAX = 64 << 20;

interface Connection {
  readonly socket: Socket;
  readonly address: string;
  /** Calls at work. */
  calls: number;
  sinceMs: number;
}

export class Connections {
  private readonly connections = new Map<string, Connection>();
  private readonly max: number;

  constructor(max = CONNECTIONS_MAX) {
    this.max = max;
  }

  get size(): number {
    return this.connections.size;
  }

  /** Takes a new connection in. Closes it, or another, if there are too many. */
  add(socket: Socket): void {
    if (this.connections.size >= this.max && !this.makeRoom()) {
      socket.destroy();
      return;
    }
    const address = socket.remoteAddress ?? '';
    const key = connectionKey(socket);
    const connection = { socket, address, calls: 0, sinceMs: performance.now() };
    this.connections.set(key, connection);
    socket.once('close', () => {
      if (this.connections.get(key) === connection) this.connections.delete(key);
    });
  }

  /** A request on it has been read and is at work, until the returned function is called. */
  beginCall(key: string): () => void {
    const connection = this.connections.get(key);
    if (connection === undefined) return () => undefined;
    connection.calls++;
    return () => {
      connection.calls--;
      connection.sinceMs = performance.now();
    };
  }

  /** Closes those without a call at work. */
  closeIdle(): void {
    for (const { socket, calls } of this.connections.values()) if (calls === 0) socket.destroy();
  }

  closeAll(): void {
    for (const { socket } of this.connections.values()) socket.destroy();
  }

  private makeRoom(): boolean {
    const counts = new Map<string, number>();
    for (const { address } of this.connections.values())
      counts.set(address, (counts.get(address) ?? 0) + 1);
    const most = Math.max(...counts.values());
    let oldest: readonly [key: string, connection: Connection] | undefined;
    for (const [key, connection] of this.connections) {
      if (connection.calls > 0 || counts.get(connection.address) !== most) continue;
      if (oldest === undefined || connection.sinceMs < oldest[1].sinceMs)
        oldest = [key, connection];
    }
    if (oldest === undefined) return false;
    this.connections.delete(oldest[0]);
    oldest[1].socket.destroy();
    return true;
  }
}

/** The other end of a connection. With TLS there are two sockets for one, which have it in common. */
export function connectionKey({ remoteAddress = '', remotePort = 0 }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}

/** What all bodies that are being read may take. */
export class BodyBudget {
  private left = BODY_BYTES_MAX;

  /** @returns false if there is no room for so many bytes more */
  take(bytes: number): boolean {
    if (bytes > this.left) return false;
    this.left -= bytes;
    return true;
  }

  give(bytes: number): void {
    this.left += bytes;
  }
}

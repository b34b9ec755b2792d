/** Tracked connections as a table. */
import type { Connection } from '../control/views/connections.ts';
import { formatTable } from './output.ts';

export function formatConnections(connections: readonly Connection[]): string {
  const rows = connections.map((connection) => [
    connection.interface,
    connection.protocol,
    endpoint(connection.localAddress, connection.localPort),
    endpoint(connection.remoteAddress, connection.remotePort),
    connection.openedBy,
    connection.state,
  ]);
  return formatTable(['interface', 'protocol', 'local', 'remote', 'opened by', 'state'], rows);
}

function endpoint(address: string, port: number): string {
  if (port === 0) return address;
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

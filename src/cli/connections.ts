/** Tracked connections as a table. */
import { endText, type Connection } from '../queries/connections.ts';
import { formatTable } from './output.ts';

export function formatConnections(connections: readonly Connection[]): string {
  const rows = connections.map((connection) => [
    connection.interface,
    connection.protocol,
    endText(connection.localAddress, connection.localPort),
    endText(connection.remoteAddress, connection.remotePort),
    connection.openedBy,
    connection.state,
  ]);
  return formatTable(['interface', 'protocol', 'local', 'remote', 'opened by', 'state'], rows);
}

/** The wire tables of all services, as texts by the paths of their files. */
import { SERVICES, type ServiceSource } from './actions.ts';
import { tableOf, type ClientPackage } from './table.ts';

/** @throws Error with code ERR_MODULE_NOT_FOUND where the SDK is not installed */
export async function wireTables(): Promise<Map<string, string>> {
  const tables = new Map<string, string>();
  for (const source of SERVICES)
    tables.set(`src/api/wire-${source.service}.ts`, tableOf(source, await readClient(source)));
  return tables;
}

interface ClientConfig {
  readonly apiVersion: string;
  readonly protocol: { readonly options: { readonly xmlNamespace: string } };
}
type Client = new (settings: object) => { readonly config: ClientConfig };

async function readClient({ packageName, client }: ServiceSource): Promise<ClientPackage> {
  // By a variable: the compiler need not read the types of some thousand shapes.
  const schemas = (await import(packageName)) as Record<string, unknown>;
  const { config } = new (schemas[client] as Client)({ region: 'us-east-1' });
  return {
    schemas,
    apiVersion: config.apiVersion,
    xmlNamespace: config.protocol.options.xmlNamespace,
  };
}

/** The aws CLI with two servers of a store in etcd. With one in a file it is no different to the CLI, and would cost a minute. */
import { withEtcd } from '../support/etcd-store.ts';

await withEtcd(() => import('./two-servers-cli.ts'));

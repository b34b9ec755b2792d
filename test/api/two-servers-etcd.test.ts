/** The tests of two-servers.test.ts with the store in etcd. */
import { withEtcd } from '../support/etcd-store.ts';

await withEtcd(() => import('./two-servers.test.ts'));

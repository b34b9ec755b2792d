/** The tests of clients.test.ts with the store in etcd. */
import { withEtcd } from '../support/etcd-store.ts';

await withEtcd(() => import('./clients.test.ts'));

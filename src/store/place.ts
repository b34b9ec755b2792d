/** Where the store of a host is, unless somebody says otherwise. */

/** A directory of its own, which two users may enter: the daemon's, and that of the API's server. */
export const STORE_DEFAULT = '/var/lib/secgroup-store/store.db';

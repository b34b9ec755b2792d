/** The contract of the store, held by SQLite and by its twin in memory. */
import { join } from 'node:path';
import { testContract, type Backend } from './contract.ts';
import { makeFolder, openStore } from './folder.ts';
import { Memory, MemoryStore } from './memory-store.ts';
import { testAgainstTwin } from './twin.ts';

const sqlite: Backend = {
  name: 'SQLite',
  make: async (t) => {
    const file = join(makeFolder(t), 'store.db');
    const open = () => openStore(t, file);
    const store = await open();
    return { store, other: open, compact: () => store.compact({ ageMs: 0, rows: 0 }) };
  },
};

const memory: Backend = {
  name: 'memory',
  make: async () => {
    const shared = new Memory();
    return {
      store: new MemoryStore(shared),
      other: async () => new MemoryStore(shared),
      compact: async () => {
        shared.compacted = shared.commits.length;
      },
    };
  },
};

testContract(sqlite);
testContract(memory);
testAgainstTwin(sqlite, memory);

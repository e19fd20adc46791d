import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

export default defineConfig({
  plugins: [react()],
  // The library and the application share one socket.io-client.
  resolve: { dedupe: ['socket.io-client'] },
});

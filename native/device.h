/* TUN and TAP interfaces: opening them the one way the data plane reads them. */
#ifndef SECGROUPD_DEVICE_H
#define SECGROUPD_DEVICE_H

#include <node_api.h>

/* The numbers of src/ports/native.ts; loadNative() there compares them. */
#define DEVICE_TUN 0
#define DEVICE_TAP 1

/* struct virtio_net_hdr without num_buffers (Virtio 1.2, section 5.1.6, the legacy layout). */
#define VNET_HDR_BYTES 10

napi_value open_device(napi_env env, napi_callback_info info);
napi_value close_fd(napi_env env, napi_callback_info info);

#endif

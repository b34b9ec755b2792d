/*
 * Has the kernel fill in checksums before a device sends, and with them switches off what builds on
 * leaving that for later (TSO): `ethtool -K NAME tx off`, for machines without ethtool.
 *
 *   offload-off NAME
 */
#include "common.h"

#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>

int main(int count, char **arguments) {
    if (count != 2 || strlen(arguments[1]) >= IFNAMSIZ) {
        fputs("usage: offload-off NAME\n", stderr);
        return 2;
    }
    struct ethtool_value off = {.cmd = ETHTOOL_STXCSUM, .data = 0};
    struct ifreq request = {.ifr_data = (void *)&off};
    memcpy(request.ifr_name, arguments[1], strlen(arguments[1]));
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (fd < 0 || ioctl(fd, SIOCETHTOOL, &request) != 0)
        fail("SIOCETHTOOL");
    return 0;
}

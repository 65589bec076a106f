// SPDX-License-Identifier: Apache-2.0
// "This is an assertion": runs a statement in a child process and sees it abort.
#pragma once
#include <csignal>
#include <cstdio>
#include <sys/wait.h>
#include <unistd.h>

namespace hv::test {
template <class F>
bool dies(F&& statement) {
    std::fflush(nullptr);
    pid_t const child = fork();
    if (child == 0) {
        std::signal(SIGABRT, SIG_DFL);
        std::fclose(stderr);
        statement();
        _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}
} // namespace hv::test
